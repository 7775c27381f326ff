//! The life of components and their names, in the state alone.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unreachable,
    reason = "a test fails by a panic, also in its helper functions"
)]

use aspen_core::apply::apply;
use aspen_core::codec::decode;
use aspen_core::function::{Call, NoFunctions};
use aspen_core::ids::{Caller, ComponentHash, ComponentRef, Name, ShardId, Timestamp};
use aspen_core::key::Key;
use aspen_core::limits::{ALIAS_HISTORY_MAX, COMPONENTS_MAX, NAMES_MAX};
use aspen_core::placement::ShardRouter;
use aspen_core::protocol::{Command, Entry, Outcome, Upload};
use aspen_core::refusal::Refusal;
use aspen_core::state::{Model, State};
use aspen_core::view::{Alias, AliasTarget, Canary, Components};
use bytes::Bytes;

#[derive(Default)]
struct Shard {
    model: Model,
    time: u64,
}

impl Shard {
    fn run(&mut self, command: Command) -> Outcome {
        self.time += 1;
        let stamp = Timestamp::new(self.time);
        let entry = Entry { stamp, seed: 1, caller: Caller::LOCAL, request: None, command };
        let router = ShardRouter::new(1).unwrap();
        let applied = apply(&mut self.model, &NoFunctions, ShardId::new(0), router, &entry);
        self.model.check();
        decode(&applied.unwrap().outcome).unwrap()
    }

    fn upload(&mut self, to: &str, bytes: &str) -> Outcome {
        let bytes = Bytes::copy_from_slice(bytes.as_bytes());
        self.run(Command::Upload(Upload { name: name(to), bytes }))
    }

    fn point(&mut self, from: &str, to: &str) -> Outcome {
        self.run(Command::Point { name: name(from), component: hash(to) })
    }

    fn remove(&mut self, it: &str) -> Outcome {
        self.run(Command::RemoveName { name: name(it) })
    }

    fn history(&self, it: &str) -> Vec<(ComponentHash, u64)> {
        let alias = self.model.alias(&name(it)).unwrap();
        let history = alias.map_or(vec![], |alias| alias.history.clone());
        history.iter().map(|pointed| (pointed.component, pointed.time.get())).collect()
    }

    fn call(&mut self, component: ComponentRef) -> Outcome {
        let key = "k".try_into().unwrap();
        let (function, args, reads) = ("f".into(), Bytes::new(), vec![]);
        self.run(Command::Call(Call { key, component, function, args, reads }))
    }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn hash(bytes: &str) -> ComponentHash {
    ComponentHash::of(bytes.as_bytes())
}

fn refused(refusal: Refusal) -> Outcome {
    Outcome::Refused(refusal)
}

#[test]
fn name_goes_back_and_its_history_tells() {
    let mut shard = Shard::default();
    assert_eq!(shard.point("bank", "one"), refused(Refusal::ComponentUnknown));
    shard.upload("bank", "one");
    shard.upload("bank", "two");
    assert_eq!(shard.upload("bank", "two"), Outcome::Uploaded { component: hash("two") });
    assert_eq!(shard.point("bank", "one"), Outcome::Pointed);
    assert_eq!(shard.history("bank"), [(hash("one"), 2), (hash("two"), 3), (hash("one"), 5)]);
    assert_eq!(shard.point("other", "two"), Outcome::Pointed);
    assert_eq!(shard.history("other"), [(hash("two"), 6)]);
}

#[test]
fn component_goes_with_the_last_name_that_mentions_it() {
    let mut shard = Shard::default();
    shard.upload("a", "one");
    shard.upload("a", "two");
    shard.point("b", "one");
    let removed = |components| Outcome::NameRemoved { existed: true, components };
    assert_eq!(shard.remove("a"), removed(1));
    assert_eq!(shard.remove("a"), Outcome::NameRemoved { existed: false, components: 0 });
    assert_eq!(shard.model.header().components, 1);
    assert_eq!(shard.point("b", "two"), refused(Refusal::ComponentUnknown));
    assert_eq!(shard.remove("b"), removed(1));
    assert!(!shard.model.has_component(&hash("one")).unwrap());
    // Known by its hash alone, and gone: also where it is still compiled.
    assert_eq!(shard.call(ComponentRef::Hash(hash("one"))), refused(Refusal::ComponentUnknown));
    assert_eq!(shard.call(ComponentRef::Name(name("b"))), refused(Refusal::ComponentUnknown));
}

#[test]
fn canary_ends_when_the_name_moves_and_keeps_its_component_until_then() {
    let mut shard = Shard::default();
    let canary = |shard: &mut Shard, it: &str, share: Option<(&str, u8)>| {
        let canary = share.map(|(component, percent)| (hash(component), percent));
        shard.run(Command::Canary { name: name(it), canary })
    };
    shard.upload("a", "one");
    assert_eq!(canary(&mut shard, "a", Some(("two", 5))), refused(Refusal::ComponentUnknown));
    assert_eq!(canary(&mut shard, "b", None), refused(Refusal::ComponentUnknown));
    shard.upload("b", "two");
    assert_eq!(canary(&mut shard, "a", Some(("two", 5))), Outcome::Pointed);
    shard.remove("b");
    assert!(shard.model.has_component(&hash("two")).unwrap());
    assert_eq!(shard.point("a", "one"), Outcome::Pointed);
    assert_eq!(shard.history("a").len(), 1);
    assert!(!shard.model.has_component(&hash("two")).unwrap());

    shard.upload("b", "two");
    canary(&mut shard, "a", Some(("two", 5)));
    shard.remove("b");
    assert_eq!(shard.point("a", "two"), Outcome::Pointed);
    let alias = shard.model.alias(&name("a")).unwrap().unwrap();
    assert_eq!((alias.now().component, alias.canary), (hash("two"), None));
    canary(&mut shard, "a", Some(("one", 5)));
    assert_eq!(canary(&mut shard, "a", None), Outcome::Pointed);
    assert!(shard.model.has_component(&hash("one")).unwrap(), "it is in the history");
}

#[test]
fn canary_gets_its_share_of_tags_and_tags_stay_together() {
    let pointed = |component| AliasTarget {
        component: hash(component),
        time: Timestamp::new(1),
        caller: Caller::LOCAL,
    };
    let alias = |percent| {
        let canary = Some(Canary { pointed: pointed("two"), percent });
        Alias { history: vec![pointed("one")], canary }
    };
    let goes = |percent, key: String| {
        alias(percent).of(&name("a"), &Key::new(key).unwrap()) == hash("two")
    };
    let share = |percent| (0..10_000).filter(|n| goes(percent, format!("k{n}"))).count();
    assert_eq!([share(0), share(100), share(255)], [0, 10_000, 10_000]);
    // Pinned: another function would send calls elsewhere on a part of the replicas.
    assert_eq!([share(1), share(25), share(50)], [111, 2_508, 5_054]);
    for n in 0..100 {
        assert_eq!(goes(50, format!("{{t{n}}}/a")), goes(50, format!("b/{{t{n}}}")));
    }
    // It grows: who had the second version keeps it.
    assert!((0..1_000).all(|n| !goes(5, format!("k{n}")) || goes(6, format!("k{n}"))));
    // Another name sends other tags.
    let other =
        |n: &u32| alias(50).of(&name("b"), &Key::new(format!("k{n}")).unwrap()) == hash("two");
    let same = (0..10_000).filter(|n| other(n) == goes(50, format!("k{n}"))).count();
    assert!((4_500..5_500).contains(&same), "{same}");
}

#[test]
fn history_is_bounded_and_lets_components_go() {
    let mut shard = Shard::default();
    let most = ALIAS_HISTORY_MAX;
    for n in 0..most + 5 {
        shard.upload("a", &n.to_string());
    }
    assert_eq!(shard.history("a").len(), most);
    assert_eq!(shard.history("a")[0].0, hash("5"));
    assert_eq!(shard.model.header().components, most as u64);
    assert_eq!(shard.point("a", "4"), refused(Refusal::ComponentUnknown));
    // It falls out of the history while the name points to it again.
    shard.point("a", "5");
    assert_eq!(shard.history("a").last().unwrap().0, hash("5"));
    assert_eq!(shard.model.header().components, most as u64);
}

#[test]
fn names_and_components_are_bounded() {
    let mut shard = Shard::default();
    shard.upload("n0", "one");
    for n in 1..NAMES_MAX {
        assert_eq!(shard.point(&format!("n{n}"), "one"), Outcome::Pointed);
    }
    assert_eq!(shard.point("more", "one"), refused(Refusal::TooManyNames));
    assert_eq!(shard.upload("more", "two"), refused(Refusal::TooManyNames));
    assert_eq!(shard.upload("n7", "two"), Outcome::Uploaded { component: hash("two") });
    for n in 2..COMPONENTS_MAX {
        shard.upload(&format!("n{n}"), &n.to_string());
    }
    assert_eq!(shard.upload("n1", "last"), refused(Refusal::TooManyComponents));
    assert_eq!(shard.point("n1", "two"), Outcome::Pointed);
}

#[test]
fn text_of_a_component_is_its_name_or_its_hash() {
    let hash = hash("one");
    for component in [ComponentRef::Hash(hash), ComponentRef::Name(name("a/b-1"))] {
        assert_eq!(component.to_string().parse(), Ok(component));
    }
    for wrong in ["", "sha256:", "sha256:12", "A", &format!("sha256:{hash}0")] {
        assert!(wrong.parse::<ComponentRef>().is_err(), "{wrong}");
    }
}
