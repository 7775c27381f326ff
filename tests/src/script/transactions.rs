//! Transactions on one shard: those of a block's statements, and looking at keys and leases.

use aspen::txn_print::{print_outcome, print_record, word_of};
use aspen::txn_text::parse;
use aspen_core::ids::{LeaseId, RequestId, ShardId};
use aspen_core::key::{Key, KeyRange};
use aspen_core::protocol::Command;
use aspen_core::state::{Model, State};
use aspen_core::transaction::Transact;
use aspen_core::view::View;

use crate::script::world::World;

/// The last transaction, which `again` repeats.
#[derive(Default)]
pub struct Transactions {
    last: Option<(ShardId, RequestId, Transact)>,
}

impl Transactions {
    /// Does the statements as one transaction; without any, nothing.
    pub fn run(&mut self, world: &mut World, statements: &str) -> Vec<String> {
        if statements.is_empty() {
            return vec![];
        }
        let transact = match parse(statements) {
            Ok(transact) => transact,
            Err(error) => return vec![format!("error: {error}")],
        };
        let shard = world.shard_of(&transact);
        let request = world.next_request(shard);
        self.last = Some((shard, request, transact.clone()));
        let outcome = world.entry(shard, Some(request), Command::Transact(transact.clone()));
        print_outcome(&transact, &outcome)
    }

    /// Sends the last transaction again, under the same request id.
    pub fn again(&self, world: &mut World) -> Vec<String> {
        let (shard, request, transact) = self.last.clone().expect("there was a transaction");
        let outcome = world.entry(shard, Some(request), Command::Transact(transact.clone()));
        print_outcome(&transact, &outcome)
    }
}

/// The revision of every shard, and the keys with a prefix.
pub fn show(world: &World, prefix: &str) -> Vec<String> {
    let range = KeyRange::prefix(prefix.as_bytes().to_vec());
    let mut lines = vec![];
    for shard in world.shards() {
        let model = world.model(shard);
        let revision = format!("revision {}", model.header().revision.get());
        lines.push(world.on(shard, &revision));
        let scanned = model.scan(&range, false, &mut |key, record| {
            let key = Key::new(key.to_vec()).expect("stored keys are within the limit");
            lines.push(print_record(&key, &record));
            true
        });
        scanned.expect("the model never fails");
    }
    lines
}

/// The numbers of keys and leases of every shard.
pub fn count(world: &World) -> Vec<String> {
    let of_shard = |shard| {
        let model = world.model(shard);
        let (keys, leases) = (model.header().keys, model.resident().leases.len());
        world.on(shard, &format!("{keys} keys, {leases} leases"))
    };
    world.shards().map(of_shard).collect()
}

/// The leases of every shard, with their keys.
pub fn leases(world: &World) -> Vec<String> {
    let of_shard = |shard| {
        let lines = leases_of(world.model(shard)).into_iter();
        lines.map(|line| world.on(shard, &line)).collect::<Vec<_>>()
    };
    let lines: Vec<String> = world.shards().flat_map(of_shard).collect();
    if lines.is_empty() { vec!["no leases".into()] } else { lines }
}

fn leases_of(model: &Model) -> Vec<String> {
    let leases = &model.resident().leases;
    let ids = (1..=model.header().last_lease.get()).map(LeaseId::new);
    let print = |image: &aspen_core::state::LeaseImage| {
        let keys: String =
            leases.keys(image.lease).map(|key| format!(" {}", word_of(key))).collect();
        let keys = if keys.is_empty() { " none".into() } else { keys };
        let kind = if image.is_private { " (of a ttl)" } else { "" };
        format!("lease {}{kind} due at {} ms, keys:{keys}", image.lease.get(), image.due.get())
    };
    ids.filter_map(|id| leases.get(id)).map(print).collect()
}
