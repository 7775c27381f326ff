//! The large class: the rights and bounds of a component of more than 2 MiB, compared with others.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unreachable,
    reason = "a test fails by a panic, also in its helper functions"
)]

mod guest;

use aspen_core::function::{CallEnd, GuestFault};
use aspen_core::limits::{
    GUEST_MEMORY_BYTES_MAX, LARGE_CALL_FUEL_MAX, LARGE_COMPONENT_BYTES_MAX,
    LARGE_GUEST_MEMORY_BYTES_MAX,
};
use aspen_core::val::Val;
use aspen_functions::{Level, Options, check};
use bytes::Bytes;
use guest::{Shard, padded, plain, returned, typed, wasm};

fn refused(component: &Bytes, why: &str) {
    let error = check(&padded(component)).unwrap_err().to_string();
    assert!(error.contains(why), "{error}");
}

/// Grows its memory by `pages` pages and returns the answer.
fn grows(pages: usize) -> Bytes {
    let body = format!(
        r#"(memory (export "memory") 1)
           (func (export "run") (result i32) (memory.grow (i32.const {pages})))"#
    );
    typed(&body, r#"(result s32)"#, "")
}

#[test]
fn memory_and_fuel_are_those_of_the_class() {
    let mut shard = Shard::new();
    let small = (GUEST_MEMORY_BYTES_MAX >> 16) - 1;
    let large = (LARGE_GUEST_MEMORY_BYTES_MAX >> 16) - 1;
    let grown = |shard: &mut Shard, component: &Bytes| shard.run(component).end;
    let (before, refused) = (returned(&[Val::S32(1)]), returned(&[Val::S32(-1)]));
    assert_eq!(grown(&mut shard, &grows(small)), before);
    assert_eq!(grown(&mut shard, &grows(small + 1)), refused);
    assert_eq!(grown(&mut shard, &padded(&grows(large))), before);
    assert_eq!(grown(&mut shard, &padded(&grows(large + 1))), refused);
    let endless = plain(r#"(func (export "run") (loop (br 0)))"#);
    let result = shard.run(&padded(&endless));
    assert_eq!(result.end, CallEnd::Faulted(GuestFault::OutOfFuel));
    assert_eq!(result.fuel.get(), LARGE_CALL_FUEL_MAX);
}

#[test]
fn outcome_and_fuel_are_the_same_on_every_engine() {
    let data = r#"(module $m (memory (export "memory") 40)
        (data (i32.const 65530) "0123456789") (data (i32.const 2000000) "x")
        (func (export "run") (result i32)
            (i32.store (i32.const 2000000) (i32.load (i32.const 65532)))
            (i32.load (i32.const 2000000))))"#;
    let body = data.strip_prefix("(module $m").unwrap().strip_suffix(')').unwrap();
    let component = padded(&typed(body, "(result u32)", ""));
    let results = [Level::Speed, Level::None, Level::Portable].map(|level| {
        let mut shard = Shard::with(Options { level, ..Options::default() });
        // Twice: the writes of the first call are gone.
        let first = shard.run(&component);
        assert_eq!(shard.run(&component), first);
        first
    });
    assert_eq!(results[0].end, returned(&[Val::U32(u32::from_le_bytes(*b"2345"))]));
    assert!(results.iter().all(|result| *result == results[0]), "{results:?}");
}

#[test]
fn recursion_ends_at_the_same_depth_on_every_engine() {
    // Finds the depth that a call reaches: the trap is the guest's, so the test asks for ever larger
    // depths.
    let deep = |depth: u32| {
        let body = format!(
            r#"(func $down (param i32) (if (local.get 0)
                    (then (call $down (i32.sub (local.get 0) (i32.const 1))))))
               (func (export "run") (call $down (i32.const {depth})))"#
        );
        padded(&plain(&body))
    };
    // All slots but those of 63 other modules, 11 and more for each frame.
    let ends = [Level::Speed, Level::None, Level::Portable].map(|level| {
        let mut shard = Shard::with(Options { level, ..Options::default() });
        [10_000, 20_000, 21_000, 25_000].map(|depth| shard.run(&deep(depth)).end)
    });
    assert!(ends.iter().all(|of_engine| *of_engine == ends[0]), "{ends:?}");
    assert_eq!(ends[0][0], returned(&[]));
    assert_eq!(ends[0][3], CallEnd::Faulted(GuestFault::Unreachable));
}

#[test]
fn large_component_runs_no_code_when_an_instance_is_made() {
    let start = r#"(func $s) (start $s) (func (export "run"))"#;
    assert!(check(&plain(start)).is_ok());
    refused(&plain(start), "start function");
}

/// Each of two instances has a memory, and the pool has one for a component: found by mutation of one that
/// is valid, which then compiled and could not be loaded.
#[test]
fn core_module_has_one_instance() {
    for memory in ["", "(memory 1)"] {
        let twice = wasm(&format!(
            r#"(component
                (core module $m {memory} (func (export "run")))
                (core instance $i (instantiate $m)) (core instance $j (instantiate $m))
                (func (export "run") (canon lift (core func $i "run"))))"#
        ));
        let why = "2 instances of one core module, limit is 1";
        assert!(check(&twice).unwrap_err().to_string().contains(why));
        refused(&twice, why);
    }
}

/// A component inside gives an export its type, as toolchains for Python do it.
fn nested(inside: &str) -> Bytes {
    wasm(&format!(
        r#"(component
            (core module $m (func (export "run") (result i32) (i32.const 7)))
            (core instance $i (instantiate $m))
            (func $f (result u32) (canon lift (core func $i "run")))
            (component $c {inside}
                (import "f" (func $f (result u32))) (export "run" (func $f)))
            (instance $n (instantiate $c (with "f" (func $f))))
            (export "run" (func $n "run")))"#
    ))
}

#[test]
fn component_inside_may_only_name_types() {
    let mut shard = Shard::new();
    assert_eq!(shard.run(&padded(&nested(""))).end, returned(&[Val::U32(7)]));
    assert!(check(&nested("")).unwrap_err().to_string().contains("holds another component"));
    refused(&nested("(core module)"), "holds another component");
    refused(&nested("(component)"), "holds another component");
    let imported = wasm(
        r#"(component
            (import "aspen:function/context@0.1.0" (instance $x
                (export "seed" (func (result u64)))))
            (alias export $x "seed" (func $seed))
            (component $c (import "f" (func $f (result u64))) (export "run" (func $f)))
            (instance $n (instantiate $c (with "f" (func $seed))))
            (export "run" (func $n "run")))"#,
    );
    refused(&imported, "it is an import, exported again");
}

#[test]
fn limits_of_the_large_class_hold() {
    let large = vec![0; LARGE_COMPONENT_BYTES_MAX + 1];
    let error = check(&large).unwrap_err().to_string();
    assert_eq!(error, "component has 25165825 bytes, limit is 25165824");
    let body = |bytes: usize| {
        let nops = "nop ".repeat(bytes);
        plain(&format!(r#"(func (export "run") {nops})"#))
    };
    assert!(check(&body(70 << 10)).is_err(), "too long for a small one");
    assert!(check(&padded(&body(70 << 10))).is_ok());
    refused(&body(513 << 10), "bytes in one function, limit is 524288");
    let memory = plain(r#"(memory 1025) (func (export "run"))"#);
    refused(&memory, "bytes of memory at the start, limit is 67108864");
}
