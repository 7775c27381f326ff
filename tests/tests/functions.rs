//! The example functions as WebAssembly, through `apply`: built, uploaded, called.
//!
//! Promises that the same Rust gives the same answers natively and as a component, and that its
//! calls stay lean. Hostile guests are in the tests of `aspen-functions`.

use std::thread;

use aspen_core::apply::apply;
use aspen_core::codec::decode;
use aspen_core::function::{Call, CallInput, Functions};
use aspen_core::ids::{Caller, ComponentHash, ComponentRef, Name, Revision, ShardId, Timestamp};
use aspen_core::key::Key;
use aspen_core::placement::ShardRouter;
use aspen_core::protocol::{Command, Entry, Outcome, Upload};
use aspen_core::state::Model;
use aspen_core::val::{Val, decode_vals, encode_vals};
use aspen_core::view::View;
use aspen_functions::{Level, Options, STACK_BYTES, WasmFunctions, check};
use aspen_tests::guests::component;
use bytes::Bytes;

/// A shard of one, applying entries as a replica does.
struct Shard {
    functions: WasmFunctions,
    model: Model,
    router: ShardRouter,
}

impl Shard {
    fn new(level: Level) -> Self {
        let functions = WasmFunctions::new(Options { level, ..Options::default() }).unwrap();
        Self { functions, model: Model::new(), router: ShardRouter::new(1).unwrap() }
    }

    fn apply(&mut self, command: Command) -> Outcome {
        let entry = Entry {
            stamp: Timestamp::new(1_000),
            seed: 42,
            caller: Caller::LOCAL,
            request: None,
            command,
        };
        let Self { functions, model, router } = self;
        let applied = thread::scope(|scope| {
            let apply = || apply(model, functions, ShardId::new(0), *router, &entry);
            let thread = thread::Builder::new().stack_size(STACK_BYTES);
            thread.spawn_scoped(scope, apply).unwrap().join().unwrap()
        });
        self.model.check();
        decode(&applied.unwrap().outcome).unwrap()
    }

    fn upload(&mut self, name: &str) {
        let bytes = Bytes::from(component(name));
        check(&bytes).unwrap();
        let name = Name::new(name).unwrap();
        let outcome = self.apply(Command::Upload(Upload { name, bytes }));
        assert!(matches!(outcome, Outcome::Uploaded { .. }));
    }

    fn call(&mut self, component: &str, function: &str, args: &[Val]) -> Outcome {
        self.apply(Command::Call(Call {
            key: Key::try_from("any").unwrap(),
            component: ComponentRef::Name(Name::new(component).unwrap()),
            function: function.into(),
            args: encode_vals(args).unwrap(),
            reads: vec![],
        }))
    }

    fn value(&self, key: &str) -> Option<Bytes> {
        let record = self.model.get(&Key::try_from(key).unwrap()).unwrap();
        record.map(|record| record.value.into())
    }
}

fn returned(outcome: &Outcome) -> Vec<Val> {
    match outcome {
        Outcome::Returned { values, .. } => decode_vals(values).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn aborted(outcome: &Outcome) -> Vec<Val> {
    match outcome {
        Outcome::Aborted { error, .. } => decode_vals(error).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Everything the bank does, and the outcomes.
fn bank(level: Level) -> (Vec<Outcome>, Model) {
    let mut shard = Shard::new(level);
    shard.upload("bank");
    let mut call = |function: &str, args: &[Val]| shard.call("bank", function, args);
    let outcomes = vec![
        call("open", &["ada".into(), 100u64.into()]),
        call("open", &["ben".into(), 5u64.into()]),
        call("transfer", &["ada".into(), "ben".into(), 30u64.into()]),
        call("transfer", &["ada".into(), "ben".into(), 71u64.into()]),
        call("balance", &["ben".into()]),
        call("touch", &[]),
    ];
    (outcomes, shard.model)
}

#[test]
fn functions_bank_moves_money_in_webassembly() {
    let (outcomes, model) = bank(Level::Speed);
    assert_eq!(returned(&outcomes[0]), []);
    let receipt = vec![("from-balance".into(), 70u64.into()), ("to-balance".into(), 35u64.into())];
    assert_eq!(returned(&outcomes[2]), [Val::Record(receipt)]);
    assert_eq!(aborted(&outcomes[3]), [Val::from("account ada has only 70")]);
    assert_eq!(returned(&outcomes[4]), [Val::U64(35)]);
    let record = model.get(&Key::try_from("account/ada").unwrap()).unwrap().unwrap();
    assert_eq!((record.version.get(), record.mod_revision), (2, Revision::new(3)));
    assert_eq!(record.value.as_bytes(), 70u64.to_le_bytes());
}

#[test]
fn functions_bank_is_the_same_at_both_optimisation_levels() {
    assert_eq!(bank(Level::Speed), bank(Level::None));
}

#[test]
fn functions_purchases_add_up_in_webassembly() {
    let mut shard = Shard::new(Level::Speed);
    shard.upload("purchases");
    let mut record = |date: &str, cds: u32, cents: u64| {
        let args = ["07592".into(), date.into(), cds.into(), cents.into()];
        shard.call("purchases", "record-purchase", &args)
    };
    record("1997-01-01", 2, 2954);
    let totals = record("1997-02-28", 1, 1177);
    let bad = record("1997-02-29", 1, 1177);
    let field = |name: &str, number: u64| (name.to_string(), Val::U64(number));
    let totals_want = vec![field("purchases", 2), field("cds", 3), field("cents", 4131)];
    assert_eq!(returned(&totals), [Val::Record(totals_want)]);
    assert_eq!(aborted(&bad), [Val::from("date \"1997-02-29\" is no date like 1997-01-31")]);
    assert_eq!(shard.value("{07592}/total"), Some("2 3 4131".into()));
    assert_eq!(shard.value("{07592}/1997-01"), Some("1 2 2954".into()));
}

#[test]
fn functions_manifest_has_the_types_of_the_world() {
    let manifest = check(&component("bank")).unwrap();
    let texts: Vec<_> = manifest.functions.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "balance: func(account: string) -> result<u64, string>",
            "open: func(account: string, cents: u64) -> result<_, string>",
            "touch: func()",
            "transfer: func(from: string, to: string, amount: u64) -> \
             result<record { from-balance: u64, to-balance: u64 }, string>",
        ]
    );
}

/// The figure behind the design: a lean guest is small and needs little fuel.
#[test]
fn functions_guests_are_lean() {
    let bytes = component("bank");
    assert!(bytes.len() < 64 << 10, "bank has {} bytes", bytes.len());
    let (outcomes, _) = bank(Level::Speed);
    let Outcome::Returned { fuel, .. } = outcomes[2] else { panic!("{:?}", outcomes[2]) };
    // By the prices since profile 3; 10,000 by those before.
    assert!(fuel.get() < 16_000, "a transfer costs {fuel} fuel");
}

#[test]
fn functions_same_call_costs_the_same_every_time() {
    let mut shard = Shard::new(Level::Speed);
    shard.upload("bank");
    shard.call("bank", "open", &["ada".into(), 100u64.into()]);
    let hash = ComponentHash::of(&component("bank"));
    let args = encode_vals(&["ada".into()]).unwrap();
    let input = CallInput {
        component: hash,
        function: "balance",
        args: &args,
        shard: ShardId::new(0),
        router: shard.router,
        revision: Revision::new(2),
        time: Timestamp::new(0),
        seed: 0,
        caller: Caller::LOCAL,
        profile: aspen_core::ids::ProfileId::FIRST,
    };
    let (functions, model) = (&shard.functions, &shard.model);
    // Many threads at once share the engine and its pool, and nothing else.
    let calls = || (0..50).map(|_| functions.call(model, &input).unwrap()).collect::<Vec<_>>();
    let results = thread::scope(|scope| {
        let thread = || thread::Builder::new().stack_size(STACK_BYTES);
        let threads: Vec<_> =
            (0..40).map(|_| thread().spawn_scoped(scope, calls).unwrap()).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(results.len(), 2_000);
    assert!(results.iter().all(|result| *result == results[0]));
}
