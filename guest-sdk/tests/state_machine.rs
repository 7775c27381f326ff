//! The harness against the state machine: the same writes give the same versions and revisions.
//!
//! A call's writes reach the state machine as one write per key, in order of keys. Here they are
//! computed from the steps of the call, and applied as a transaction.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unreachable,
    reason = "a test fails by a panic, also in its helper functions"
)]
#![cfg(not(target_arch = "wasm32"))]

use std::collections::BTreeMap;

use aspen_core::apply::apply;
use aspen_core::codec::decode;
use aspen_core::function::NoFunctions;
use aspen_core::ids::{Caller, ShardId, Timestamp};
use aspen_core::key::{Key, Value};
use aspen_core::placement::ShardRouter;
use aspen_core::protocol::{Command, Entry, Outcome};
use aspen_core::state::{Model, State};
use aspen_core::transaction::{Transact, WriteOp};
use aspen_core::view::View;
use aspen_guest::{store, testing::Harness};
use proptest::prelude::*;

/// A put, or a delete, of one of a few keys.
type Step = (u8, bool);

/// Keys of the test.
const KEYS: u8 = 4;

/// Returns the writes that a call of these steps leaves.
fn writes(model: &Model, steps: &[Step]) -> Vec<WriteOp> {
    let mut last = BTreeMap::new();
    last.extend(steps.iter().copied());
    let write = |(number, is_put): (u8, bool)| {
        let key = Key::new(vec![number]).unwrap();
        let is_stored = model.get(&key).unwrap().is_some();
        match is_put {
            true => Some(WriteOp::set(key, Value::try_from("value").unwrap())),
            false => is_stored.then_some(WriteOp::Delete { key }),
        }
    };
    last.into_iter().filter_map(write).collect()
}

fn transact(model: &mut Model, writes: Vec<WriteOp>) {
    let command = Command::Transact(Transact::writes(writes));
    let stamp = Timestamp::new(1_000);
    let entry = Entry { stamp, seed: 1, caller: Caller::LOCAL, request: None, command };
    let router = ShardRouter::new(1).unwrap();
    let applied = apply(model, &NoFunctions, ShardId::new(0), router, &entry).unwrap();
    let outcome: Outcome = decode(&applied.outcome).unwrap();
    assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn harness_counts_versions_as_the_state_machine(
        calls in prop::collection::vec(prop::collection::vec((0..KEYS, any::<bool>()), 0..6), 0..12),
    ) {
        let (mut shard, mut model) = (Harness::new(), Model::new());
        for steps in calls {
            let writes = writes(&model, &steps);
            if !writes.is_empty() {
                transact(&mut model, writes);
            }
            shard.run(|| {
                for (number, is_put) in steps {
                    match is_put {
                        true => store::put([number], "value"),
                        false => drop(store::delete([number])),
                    }
                }
            });
            prop_assert_eq!(shard.revision(), model.header().revision.get());
            for number in 0..KEYS {
                let record = model.get(&Key::new(vec![number]).unwrap()).unwrap();
                let counted = record.map(|of| {
                    [of.version.get(), of.create_revision.get(), of.mod_revision.get()]
                });
                let found = shard.get_versioned([number]);
                let found = found.map(|of| [of.version, of.create_revision, of.mod_revision]);
                prop_assert_eq!(found, counted);
            }
        }
    }
}
