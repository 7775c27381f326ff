//! Uploads of components with mutated bytes: real ones of the examples, and small ones.
//!
//! The upload check never panics and ends soon. What it lets through compiles, or is found unfit by
//! its bytes alone, without a fault of the host: that would stop replicas instead of refusing an
//! upload.

use std::cell::Cell;
use std::time::{Duration, Instant};

use aspen_core::ids::ComponentHash;
use aspen_functions::{CompileError, Level, Options, WasmFunctions, check};
use aspen_tests::fuzz::mutated;
use aspen_tests::guests::component;
use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

/// Far above what the check of a component of this size takes in a debug build on a busy machine.
const CHECK_MAX: Duration = Duration::from_secs(5);
/// Components that pass and are compiled: compiling takes longest.
const COMPILED_MAX: usize = 100;

/// A component with one function and most kinds of sections, small enough that mutations hit them.
fn small() -> Vec<u8> {
    let text = r#"(component
        (import "aspen:function/context@0.1.0" (instance $context
            (export "seed" (func (result u64)))))
        (core module $m
            (import "c" "seed" (func $seed (result i64)))
            (memory (export "memory") 1 2)
            (table 2 2 funcref)
            (global $g (mut i64) (i64.const 5))
            (elem (i32.const 0) func $f)
            (data (i32.const 8) "some data")
            (func $f (export "f") (param i64) (result i64)
                (local i64 f64)
                (block (loop (br_if 1 (i64.eqz (local.get 0)))
                    (local.set 0 (i64.sub (local.get 0) (i64.const 1))) (br 0)))
                (global.set $g (call $seed))
                (i64.add (global.get $g) (i64.load (i32.const 8)))))
        (core func $seed (canon lower (func $context "seed")))
        (core instance $i (instantiate $m
            (with "c" (instance (export "seed" (func $seed))))))
        (func (export "run") (param "n" u64) (result u64) (canon lift (core func $i "f"))))"#;
    wat::parse_str(text).unwrap()
}

/// Checks one; whether it passes.
fn checked(bytes: &[u8]) -> bool {
    let began = Instant::now();
    let is_good = check(bytes).is_ok();
    assert!(began.elapsed() < CHECK_MAX, "the check takes {:?}", began.elapsed());
    is_good
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(ProptestConfig::with_cases(cases))
}

/// Mutates, checks, and compiles some of what passes.
fn fuzz(valid: Vec<u8>, cases: u32) {
    assert!(checked(&valid), "what is mutated is valid before: {:?}", check(&valid));
    let functions =
        WasmFunctions::new(Options { level: Level::None, ..Options::default() }).unwrap();
    let (passed, unfit) = (Cell::new(0), Cell::new(0));
    let one = |bytes: Vec<u8>| {
        if checked(&bytes) && passed.get() < COMPILED_MAX {
            passed.set(passed.get() + 1);
            let (hash, bytes) = (ComponentHash::of(&bytes), Bytes::from(bytes));
            match functions.compile(&hash, &bytes, &|| false) {
                Ok(()) => {}
                Err(CompileError::Unfit { .. }) => unfit.set(unfit.get() + 1),
                Err(fault) => prop_assert!(false, "passed the check, then: {fault}"),
            }
        }
        Ok(())
    };
    runner(cases).run(&mutated(vec![valid]), one).unwrap();
    println!("{} of {cases} passed and were compiled, {} unfit", passed.get(), unfit.get());
}

/// Found by mutation, which repeated an alias, so that the export got the index of an import. That
/// is valid, and passed; then wasmtime could not compile it, and nobody was told why.
#[test]
fn fuzz_components_import_that_is_exported_again_is_refused() {
    let text = r#"(component
        (import "aspen:function/context@0.1.0" (instance $context
            (export "seed" (func (result u64)))))
        (alias export $context "seed" (func $seed))
        (export "run" (func $seed)))"#;
    let error = check(&wat::parse_str(text).unwrap()).unwrap_err();
    let want = "function \"run\" cannot be called: it is an import, exported again";
    assert_eq!(error.to_string(), want);
}

#[test]
fn fuzz_components_small_ones_are_refused_or_compile() {
    fuzz(small(), 20_000);
}

#[test]
fn fuzz_components_real_ones_are_refused_or_compile() {
    fuzz(component("bank"), 300);
}

#[test]
fn fuzz_components_random_bytes_are_refused() {
    let start = prop_oneof![
        Just(vec![]),
        Just(b"\0asm\x0d\0\x01\0".to_vec()),
        Just(b"\0asm\x01\0\0\0".to_vec())
    ];
    let bytes = (start, prop::collection::vec(any::<u8>(), 0..200));
    let one = |(start, bytes): (Vec<u8>, Vec<u8>)| {
        prop_assert!(!checked(&[start, bytes].concat()));
        Ok(())
    };
    runner(3_000).run(&bytes, one).unwrap();
}
