//! Guests that try to do harm: each ends with its own fault, and the next call works.
//!
//! Every claim is checked at both optimisation levels, with equal results: a fault is an outcome,
//! and outcomes are the same on every replica.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unreachable,
    reason = "a test fails by a panic, also in its helper functions"
)]

mod guest;

use aspen_core::function::{CallEnd, CallResult, GuestFault};
use aspen_core::key::Key;
use aspen_core::limits::{CALL_FUEL_MAX, TXN_OPS_MAX};
use aspen_core::placement::ShardRouter;
use aspen_core::val::Val;
use bytes::Bytes;
use guest::{Shard, assert_fault, plain, returned, typed, with_store};

/// Runs the guest at both levels; a good call before and after it gives the same.
fn run(bytes: &Bytes) -> CallResult {
    let good = typed(r#"(func (export "run") (result i64) (i64.const 7))"#, "(result u64)", "");
    let results = Shard::levels().map(|mut shard| {
        let before = shard.run(&good);
        let result = shard.run(bytes);
        assert_eq!(shard.run(&good), before);
        assert_eq!(before.end, returned(&[Val::U64(7)]));
        result
    });
    assert_eq!(results[0], results[1], "outcome depends on the optimisation level");
    let [result, _] = results;
    result
}

fn check(body: &str, fault: GuestFault) {
    assert_fault(&run(&plain(body)), fault);
}

#[test]
fn functions_endless_loop_runs_out_of_fuel() {
    check(r#"(func (export "run") (loop (br 0)))"#, GuestFault::OutOfFuel);
}

#[test]
fn functions_endless_recursion_is_stopped() {
    check(r#"(func $run (export "run") (call $run))"#, GuestFault::Unreachable);
    let wide = format!(
        r#"(func $run (export "run") (local {}) (local.set 0 (i64.const 1)) (call $run))"#,
        "i64 ".repeat(900)
    );
    check(&wide, GuestFault::Unreachable);
}

/// The optimiser computes loop-invariant values once, before the loop, and keeps all of them in the
/// frame: a frame of 40 KiB for a function of three locals.
#[test]
fn functions_recursion_with_hoisted_values_is_stopped_before_the_native_stack() {
    let uses: String = (0..5000)
        .map(|at| {
            format!(
                "(local.set 1 (i64.xor (local.get 1) (i64.mul (local.get 0) (i64.const {}))))",
                at * 2 + 3
            )
        })
        .collect();
    let body = format!(
        r#"(global $n (mut i64) (i64.const 5))
        (func $run (export "run") (local i64 i64 i32)
            (local.set 0 (global.get $n))
            (loop
                {uses}
                (global.set $n (local.get 1))
                (call $run)
                (local.set 2 (i32.add (local.get 2) (i32.const 1)))
                (br_if 0 (i32.lt_u (local.get 2) (i32.const 9)))))"#
    );
    check(&body, GuestFault::Unreachable);
}

#[test]
fn functions_mutual_recursion_between_modules_is_stopped() {
    let bytes = guest::wasm(
        r#"(component
            (core module $table (table (export "t") 2 funcref))
            (core instance $t (instantiate $table))
            (core module $half (import "t" "t" (table 2 funcref)) (type $f (func))
                (import "n" "n" (global $n i32))
                (func $run (export "run") (call_indirect (type $f) (global.get $n)))
                (export "f" (func $run)))
            (core module $numbers
                (global (export "zero") i32 (i32.const 0)) (global (export "one") i32 (i32.const 1))
                (func (export "none")))
            (core instance $n (instantiate $numbers))
            (core instance $a (instantiate $half
                (with "t" (instance $t)) (with "n" (instance (export "n" (global $n "one"))))))
            (core module $link (import "t" "t" (table 2 funcref)) (import "a" "f" (func $a))
                (type $f (func))
                (func $b (export "run") (call_indirect (type $f) (i32.const 0)))
                (elem (i32.const 0) func $a $b) (func (export "go") (call $a)))
            (core instance $b (instantiate $link (with "t" (instance $t)) (with "a" (instance $a))))
            (func (export "run") (canon lift (core func $b "go"))))"#,
    );
    assert_fault(&run(&bytes), GuestFault::Unreachable);
}

#[test]
fn functions_endless_allocation_is_out_of_memory() {
    let body = r#"(memory 1) (func (export "run")
        (loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable)"#;
    check(body, GuestFault::OutOfMemory);
    let at_once = r#"(memory 1) (func (export "run")
        (if (i32.eq (memory.grow (i32.const 65000)) (i32.const -1)) (then unreachable)))"#;
    check(at_once, GuestFault::OutOfMemory);
}

#[test]
fn functions_refused_memory_may_be_survived() {
    let body = r#"(memory 1) (func (export "run") (result i32) (memory.grow (i32.const 65000)))"#;
    let result = run(&typed(body, "(result s32)", ""));
    assert_eq!(result.end, returned(&[Val::S32(-1)]));
}

/// Wasmtime takes it for a failure of the machine if it is not refused first.
#[test]
fn functions_guest_may_reach_its_own_maximum() {
    let grow = |grow: &str| {
        let body = format!(
            r#"(memory 1 2) (table 1 2 funcref) (func (export "run") (result i32) ({grow} (i32.const 2)))"#
        );
        assert_eq!(run(&typed(&body, "(result s32)", "")).end, returned(&[Val::S32(-1)]));
    };
    grow("memory.grow");
    grow("table.grow 0 (ref.null func)");
}

/// As many as the upload check lets through.
#[test]
fn functions_one_module_may_have_all_the_tables() {
    let table = "(table 20000 funcref) ".repeat(4);
    let body = format!(r#"{table} (func (export "run") (result i32) (table.size 3))"#);
    assert_eq!(run(&typed(&body, "(result s32)", "")).end, returned(&[Val::S32(20_000)]));
}

#[test]
fn functions_traps_have_their_names() {
    let run = |body: &str| format!(r#"(memory 1) (table 1 funcref) (func (export "run") {body})"#);
    let check = |body: &str, fault| check(&run(body), fault);
    check("unreachable", GuestFault::Unreachable);
    check("(drop (i32.div_u (i32.const 1) (i32.const 0)))", GuestFault::Arithmetic);
    check("(drop (i32.trunc_f64_s (f64.const nan)))", GuestFault::Arithmetic);
    check("(drop (i32.load (i32.const 65536)))", GuestFault::OutOfBounds);
    check("(call_indirect (i32.const 0))", GuestFault::BadIndirectCall);
    check("(call_indirect (i32.const 9))", GuestFault::OutOfBounds);
}

#[test]
fn functions_trap_before_the_first_function() {
    let start = r#"(func $s unreachable) (start $s) (func (export "run"))"#;
    check(start, GuestFault::Unreachable);
    let data = r#"(memory 1) (data (i32.const 65535) "ab") (func (export "run"))"#;
    check(data, GuestFault::OutOfBounds);
    let endless = r#"(func $s (loop (br 0))) (start $s) (func (export "run"))"#;
    check(endless, GuestFault::OutOfFuel);
}

#[test]
fn functions_garbage_results_break_the_interface() {
    let check = |data: &str, ty: &str, fault| {
        let body = format!(
            r#"(memory (export "m") 1) (data (i32.const 0) "{data}")
            (func (export "run") (result i32) (i32.const 0))"#
        );
        assert_fault(&run(&typed(&body, ty, r#"(memory (core memory $i "m"))"#)), fault);
    };
    // Pointer 16, length 2, and at 16 two bytes that are no UTF-8.
    let text = r"\10\00\00\00\02\00\00\00........\ff\ff";
    check(text, "(result string)", GuestFault::BadInterface);
    let beyond = r"\10\00\00\00\00\00\00\10";
    check(beyond, "(result (list u8))", GuestFault::BadInterface);
    let case = r"\09";
    check(case, r#"(result (result u64 (error string)))"#, GuestFault::BadInterface);
    let unaligned = r"\01\00\00\00\01\00\00\00";
    check(unaligned, "(result (list u64))", GuestFault::BadInterface);
}

#[test]
fn functions_large_result_is_refused() {
    let check = |bytes: u32, ty: &str| {
        let length: String =
            bytes.to_le_bytes().iter().map(|byte| format!("\\{byte:02x}")).collect();
        let body = format!(
            r#"(memory (export "m") 256) (data (i32.const 4) "{length}")
            (func (export "run") (result i32) (i32.const 0))"#
        );
        let result = run(&typed(&body, ty, r#"(memory (core memory $i "m"))"#));
        assert_fault(&result, GuestFault::ResultTooLarge);
    };
    check(1 << 20, "(result (list u8))");
    check(16 << 20, "(result (list u8))");
    check(16 << 20, "(result string)");
    check(70_000, "(result (list u64))");
}

#[test]
fn functions_call_writes_a_bounded_number_of_keys() {
    let puts = |count: usize| {
        let body = format!(
            r#"(func (export "run") (result i64) (local $n i32)
                (loop
                    (i32.store (i32.const 16) (local.get $n))
                    (call $put (i32.const 16) (i32.const 4) (i32.const 0) (i32.const 0))
                    (local.set $n (i32.add (local.get $n) (i32.const 1)))
                    (br_if 0 (i32.lt_u (local.get $n) (i32.const {count}))))
                (i64.const 1))"#
        );
        run(&with_store(&body))
    };
    let most = puts(TXN_OPS_MAX);
    assert_eq!(most.end, returned(&[Val::U64(1)]));
    assert_eq!(most.writes.len(), TXN_OPS_MAX);
    assert_fault(&puts(TXN_OPS_MAX + 1), GuestFault::TooManyWrites);
}

#[test]
fn functions_call_writes_a_bounded_number_of_bytes() {
    let body = r#"(func (export "run") (result i64) (local $n i32)
        (loop
            (i32.store (i32.const 16) (local.get $n))
            (call $put (i32.const 16) (i32.const 4) (i32.const 0) (i32.const 900000))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if 0 (i32.lt_u (local.get $n) (i32.const 5))))
        (i64.const 1))"#;
    assert_fault(&run(&with_store(body)), GuestFault::TooManyWrites);
}

#[test]
fn functions_keys_and_values_have_their_lengths() {
    let put = |key: u32, value: u32| {
        let body = format!(
            r#"(func (export "run") (result i64)
                (call $put (i32.const 0) (i32.const {key}) (i32.const 0) (i32.const {value}))
                (i64.const 1))"#
        );
        run(&with_store(&body))
    };
    assert_eq!(put(1024, 1 << 20).end, returned(&[Val::U64(1)]));
    assert_fault(&put(0, 1), GuestFault::KeyOrValueLength);
    assert_fault(&put(1025, 1), GuestFault::KeyOrValueLength);
    assert_fault(&put(1, (1 << 20) + 1), GuestFault::KeyOrValueLength);
    assert_fault(&put(1, 40 << 16), GuestFault::KeyOrValueLength);
}

#[test]
fn functions_host_calls_cost_fuel() {
    let body = r#"(func (export "run") (result i64)
        (loop (drop (call $exists (i32.const 0) (i32.const 4))) (br 0)) (i64.const 1))"#;
    assert_fault(&run(&with_store(body)), GuestFault::OutOfFuel);
    let one = |calls: &str| {
        let body = format!(r#"(func (export "run") (result i64) {calls} (i64.const 1))"#);
        run(&with_store(&body)).fuel.get()
    };
    let exists = "(drop (call $exists (i32.const 0) (i32.const 100)))";
    let price = one(&exists.repeat(2)) - one(exists);
    assert!((1_400..1_500).contains(&price), "exists of 100 bytes costs {price}");
}

#[test]
fn functions_key_of_another_shard_ends_the_call() {
    let body = r#"(data (i32.const 0) "elsewhere")
        (func (export "run") (result i64)
            (call $put (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 0))
            (drop (call $exists (i32.const 0) (i32.const 9)))
            (i64.const 1))"#;
    let mut routers = (2..=256).map(|shards| ShardRouter::new(shards).unwrap());
    let apart = |router: &ShardRouter| router.shard(b"else") != router.shard(b"elsewhere");
    let mut shard = Shard::new();
    shard.router = routers.find(apart).unwrap();
    shard.shard = shard.router.shard(b"else");
    let key = Key::try_from("elsewhere").unwrap();
    let fault = GuestFault::WrongShard { shard: shard.router.shard(b"elsewhere"), key };
    assert_fault(&shard.run(&with_store(body)), fault);
}

#[test]
fn functions_statics_do_not_leak_into_the_next_call() {
    let body = r#"(global $n (mut i64) (i64.const 0)) (memory 1)
        (func (export "run") (result i64)
            (global.set $n (i64.add (global.get $n) (i64.const 1)))
            (i64.store (i32.const 0) (i64.add (i64.load (i32.const 0)) (global.get $n)))
            (i64.load (i32.const 0)))"#;
    let mut shard = Shard::new();
    let component = shard.upload(&typed(body, "(result u64)", ""));
    let first = shard.call(component, "run", &[]);
    assert_eq!(first.end, returned(&[Val::U64(1)]));
    for _ in 0..100 {
        assert_eq!(shard.call(component, "run", &[]), first);
    }
}

#[test]
fn functions_fuel_of_a_trap_is_everything() {
    let result = run(&plain(r#"(func (export "run") unreachable)"#));
    assert!(matches!(result.end, CallEnd::Faulted(_)));
    assert_eq!(result.fuel.get(), CALL_FUEL_MAX);
}
