//! The reads of a function across shards, and those that must hold when it commits.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unreachable,
    reason = "a test fails by a panic, also in its helper functions"
)]

use aspen_core::across::{Need, ReadAhead};
use aspen_core::ids::{ComponentHash, LeaseId, Revision, ShardId, Version};
use aspen_core::key::{Key, KeyRange, Value};
use aspen_core::protocol::{Item, Page};
use aspen_core::refusal::Refusal;
use aspen_core::transaction::{Expectation, Read};
use aspen_core::view::{Components, Record, View};
use bytes::Bytes;

const HOME: ShardId = ShardId::new(0);

fn key(text: &str) -> Key {
    Key::try_from(text).unwrap()
}

fn record(revision: u64) -> Record {
    Record {
        value: Value::try_from("v").unwrap(),
        version: Version::new(1),
        create_revision: Revision::new(revision),
        mod_revision: Revision::new(revision),
        lease: LeaseId::NONE,
    }
}

fn page(revision: u64, keys: &[&str], more: bool) -> Page {
    let items = keys.iter().map(|text| Item { key: key(text), record: record(1) }).collect();
    Page { revision: Revision::new(revision), items, more }
}

fn scan(known: &ReadAhead, range: &KeyRange, reverse: bool, most: usize) -> Option<Vec<String>> {
    let mut found = vec![];
    let scanned = known.scan(range, reverse, &mut |key, _| {
        found.push(String::from_utf8_lossy(key).into_owned());
        found.len() < most
    });
    scanned.ok().map(|()| found)
}

/// The ranges that must hold, with their shards and revisions.
fn ranges(known: &ReadAhead) -> Vec<(String, u16, u64)> {
    let range = |read| {
        let Read::Range { range, unchanged_since, shard } = read else { panic!("no key was read") };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\0', "+");
        let end = range.end.as_ref().map_or(String::new(), |end| text(end));
        let shard = shard.expect("it says which").get();
        (format!("{}..{end}", text(&range.start)), shard, unchanged_since.get())
    };
    known.reads().into_iter().map(range).collect()
}

fn nothing() -> ReadAhead {
    ReadAhead::new(ComponentHash::new([1; 32]), Bytes::from_static(b"code"))
}

#[test]
fn read_ahead_asks_for_what_it_misses_and_names_what_it_told() {
    let mut known = nothing();
    assert!(known.get(&key("a")).is_err());
    assert_eq!(known.need(), Some(Need::Key(key("a"))));
    assert_eq!(known.need(), None);
    known.knows_key(key("a"), Some(record(7))).unwrap();
    known.knows_key(key("b"), None).unwrap();
    assert_eq!(known.get(&key("a")).unwrap(), Some(record(7)));
    assert_eq!(known.get(&key("b")).unwrap(), None);
    let expected = [
        Read::key(key("a"), Expectation::ModRevision(Revision::new(7))),
        Read::key(key("b"), Expectation::Absent),
    ];
    assert_eq!(known.reads(), expected);
    let hash = ComponentHash::new([1; 32]);
    assert_eq!(known.component(&hash).unwrap().as_deref(), Some(&b"code"[..]));
    assert_eq!(known.component(&ComponentHash::new([2; 32])).unwrap(), None);
}

#[test]
fn read_ahead_reads_a_range_page_by_page_in_both_directions() {
    for reverse in [false, true] {
        let mut known = nothing();
        let range = KeyRange::from("a".."f");
        let mut told: Vec<&str> = vec!["a", "b", "c", "d"];
        if reverse {
            told.reverse();
        }
        assert_eq!(scan(&known, &range, reverse, 9), None);
        let Some(Need::Page { rest, .. }) = known.need() else { panic!() };
        assert_eq!(rest, range);
        known.knows_pages(&rest, reverse, vec![(HOME, page(5, &told[..2], true))]).unwrap();
        assert_eq!(scan(&known, &range, reverse, 2).unwrap(), told[..2], "it wanted no more");
        assert_eq!(known.need(), None);
        assert_eq!(scan(&known, &range, reverse, 9), None);
        let Some(Need::Page { rest, .. }) = known.need() else { panic!() };
        known.knows_pages(&rest, reverse, vec![(HOME, page(6, &told[2..], false))]).unwrap();
        assert_eq!(scan(&known, &range, reverse, 9).unwrap(), told);
        assert_eq!(known.need(), None);
        let ranges: Vec<(String, u64)> =
            ranges(&known).into_iter().map(|(range, _, since)| (range, since)).collect();
        let want = match reverse {
            false => [("a..b+".to_string(), 5), ("b+..f".to_string(), 6)],
            true => [("c..f".to_string(), 5), ("a..c".to_string(), 6)],
        };
        assert_eq!(ranges, want);
    }
}

/// Two shards whose keys take turns. The known part ends where the first shard ends that has more.
#[test]
fn read_ahead_reads_a_range_of_several_shards_as_far_as_each_has_come() {
    let other = ShardId::new(4);
    for reverse in [false, true] {
        let mut known = nothing();
        let range = KeyRange::from("a".."z");
        let turned = |keys: &[&'static str]| -> Vec<&str> {
            let mut keys = keys.to_vec();
            if reverse {
                keys.reverse();
            }
            keys
        };
        let (all, first, second) = match reverse {
            false => (vec!["a", "b", "c", "d", "e", "f"], ["a", "c"], ["b", "d", "f"]),
            true => (vec!["f", "e", "d", "c", "b", "a"], ["d", "f"], ["a", "c", "e"]),
        };
        assert_eq!(scan(&known, &range, reverse, 9), None);
        let Some(Need::Page { rest, .. }) = known.need() else { panic!() };
        let pages =
            vec![(HOME, page(5, &turned(&first), true)), (other, page(7, &turned(&second), false))];
        known.knows_pages(&rest, reverse, pages).unwrap();
        assert_eq!(
            scan(&known, &range, reverse, 3).unwrap(),
            all[..3],
            "as far as the first is known"
        );
        assert_eq!(scan(&known, &range, reverse, 4), None);
        let Some(Need::Page { rest, .. }) = known.need() else { panic!() };
        let (last, again): (_, &[&str]) = match reverse {
            false => ("e", &["d", "f"]),
            true => ("b", &["a", "c"]),
        };
        let pages = vec![(HOME, page(8, &[last], false)), (other, page(7, &turned(again), false))];
        known.knows_pages(&rest, reverse, pages).unwrap();
        assert_eq!(scan(&known, &range, reverse, 9).unwrap(), all);
        let (one, two) = match reverse {
            false => ("a..c+", "c+..z"),
            true => ("d..z", "a..d"),
        };
        let want = [(one, 0, 5), (one, 4, 7), (two, 0, 8), (two, 4, 7)];
        assert_eq!(
            ranges(&known),
            want.map(|(range, shard, since)| (range.to_string(), shard, since))
        );
    }
}

#[test]
fn read_ahead_is_bounded() {
    let mut known = nothing();
    let mut refused = None;
    for n in 0..2_000 {
        refused = known.knows_key(key(&format!("k{n}")), None).err();
        if refused.is_some() {
            break;
        }
    }
    assert_eq!(refused, Some(Refusal::TooManyOperations { operations: 1025 }));
}
