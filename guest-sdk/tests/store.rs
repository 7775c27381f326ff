//! Iterators over ranges, against a model that looks at every key each time, and typed values.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unreachable,
    reason = "a test fails by a panic, also in its helper functions"
)]
#![cfg(not(target_arch = "wasm32"))]

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use aspen_guest::keys::Key;
use aspen_guest::{store, testing::Harness};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

/// A step of a call while it iterates.
#[derive(Clone, Debug)]
enum Step {
    Next,
    NextBack,
    Put(u8),
    Delete(u8),
}

const START: u8 = 8;
const END: u8 = 56;

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Next),
        2 => Just(Step::NextBack),
        1 => (0..64u8).prop_map(Step::Put),
        1 => (0..64u8).prop_map(Step::Delete),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn iterator_gives_each_key_as_it_is_then(
        stored in prop::collection::btree_set(0..64u8, 0..64),
        steps in prop::collection::vec(any_step(), 0..64),
    ) {
        let mut shard = Harness::new();
        shard.run(|| stored.iter().for_each(|key| store::put([*key], "0")));
        let mut model: BTreeMap<u8, String> =
            stored.into_iter().map(|key| (key, "0".to_string())).collect();
        shard.run(|| {
            let mut range = store::range([START], Some(&[END]));
            let (mut first, mut end) = (START, END);
            for (at, step) in steps.into_iter().enumerate() {
                let value = at.to_string();
                let (given, wanted) = match step {
                    Step::Next => (range.next(), model.range(first..end.max(first)).next()),
                    Step::NextBack => {
                        (range.next_back(), model.range(first..end.max(first)).next_back())
                    }
                    Step::Put(key) => {
                        store::put([key], &value);
                        model.insert(key, value);
                        continue;
                    }
                    Step::Delete(key) => {
                        prop_assert_eq!(store::delete([key]), model.remove(&key).is_some());
                        continue;
                    }
                };
                let given = given.map(|item| (item.key[0], item.record.value));
                let wanted = wanted.map(|(key, value)| (*key, value.clone().into_bytes()));
                prop_assert_eq!(&given, &wanted);
                match (given, step) {
                    (Some((key, _)), Step::Next) => first = key + 1,
                    (Some((key, _)), _) => end = key,
                    (None, _) => {}
                }
            }
            Ok(())
        })?;
    }
}

#[test]
fn prefix_and_reverse_go_over_many_pages() {
    let mut shard = Harness::new();
    for part in 0..3u32 {
        let put = |n: u32| store::put(format!("p/{:04}", part * 1000 + n), "");
        shard.run(|| (0..1000).for_each(put));
    }
    let mut shard = shard.with("o", "").with("q", "");
    shard.run(|| {
        assert_eq!(store::prefix_iter("p/").count(), 3000);
        assert_eq!(store::prefix_iter("p/").rev().nth(2998).unwrap().key, b"p/0001");
        assert_eq!(store::range("", None).count(), 3002);
        assert_eq!(store::range("z", Some(b"a")).count(), 0);
        // Deleting what was given needs no second look at the rest.
        store::prefix_iter("p/").take(1000).for_each(|item| assert!(store::delete(item.key)));
        assert_eq!(store::prefix_iter("p/").next().unwrap().key, b"p/1000");
    });
}

#[test]
fn keys_below_are_no_longer_strings() {
    let (a, zero) = (Key::tagged("t").part("a"), Key::tagged("t").part("a\0"));
    Harness::new().run(|| {
        store::put(&a, "");
        store::put(a.clone().part(1), "");
        store::put(zero.part(2), "");
        let keys: Vec<u8> = store::below(&a)
            .map(|item| a.parts_below(&item.key).unwrap().only().unwrap())
            .collect();
        assert_eq!(keys, [1]);
    });
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Cart {
    items: Vec<u64>,
    note: Option<String>,
}

#[test]
fn values_come_back_as_their_type() {
    let cart = || Cart { items: vec![3, 300], note: Some("ring twice".into()) };
    let mut shard = Harness::new();
    shard.run(|| {
        store::put_as("cart", &cart());
        store::put_json("json", &cart());
        assert_eq!(store::get_as("cart"), Some(cart()));
        assert_eq!(store::get_json("json"), Some(cart()));
        assert_eq!(store::get_as::<Cart>("none"), None);
        store::put_u64("count", 7);
        let read = |key| store::prefix_iter(key).next().unwrap();
        assert_eq!((read("cart").value_as::<Cart>(), read("count").value_u64()), (cart(), 7));
    });
    assert_eq!(shard.get("json").unwrap(), br#"{"items":[3,300],"note":"ring twice"}"#);
    assert_eq!(shard.get("cart").unwrap().len(), 1 + 1 + 2 + 1 + 1 + 10);
}

#[test]
fn value_of_another_type_ends_the_call() {
    let check = |value: &str, read: fn(), text: &str| {
        let mut shard = Harness::new().with("cart", value);
        let call = || {
            store::put("other", "");
            read();
        };
        let panic = catch_unwind(AssertUnwindSafe(|| shard.run(call))).unwrap_err();
        let said = panic.downcast::<String>().unwrap();
        assert!(said.starts_with(text), "{said}");
        assert_eq!(shard.get("other"), None);
    };
    let postcard: fn() = || drop(store::get_as::<Cart>("cart"));
    check("\x01", postcard, "value of cart is no store::Cart: ");
    check("\0\0more", postcard, "value of cart is no store::Cart: bytes are left over");
    let json: fn() = || drop(store::get_json::<Cart>("cart"));
    check("{}", json, "value of cart is no store::Cart: missing field `items`");
}
