//! The exact point where a call runs out: of fuel, before each kind of work, and of depth.
//!
//! Each guest takes a number, burns that much fuel (or goes that deep) and then does one thing more.
//! The corpus holds the smallest number with which that fails, found by halving.

use crate::guest::{typed, with_store_and};
use crate::{Ask, Case};

/// `$burn` takes so much fuel, one per byte filled, and a little for each 64 KiB.
const BURN: &str = r#"(func $burn (param $fuel i32)
    (loop
        (if (i32.gt_u (local.get $fuel) (i32.const 65536)) (then
            (memory.fill (i32.const 0) (i32.const 0) (i32.const 65536))
            (local.set $fuel (i32.sub (local.get $fuel) (i32.const 65536)))
            (br 1))))
    (memory.fill (i32.const 0) (i32.const 0) (local.get $fuel)))"#;

/// The code after the fuel is burnt.
const AFTER: &[(&str, &str)] = &[
    ("nothing", ""),
    ("straight code", "(drop (i32.add (i32.const 1) (i32.const 1)))"),
    ("branch", "(if (i32.load (i32.const 0)) (then (i32.store (i32.const 0) (i32.const 1))))"),
    ("call", "(call $burn (i32.const 0))"),
    ("indirect call", "(call_indirect (i32.const 0))"),
    (
        "loop",
        "(local.set 1 (i32.const 9)) (loop (br_if 0 (local.tee 1 (i32.sub (local.get 1) (i32.const 1)))))",
    ),
    ("square root", "(f64.store (i32.const 0) (f64.sqrt (f64.load (i32.const 0))))"),
    ("memory.grow", "(drop (memory.grow (i32.const 1)))"),
    ("memory.copy", "(memory.copy (i32.const 0) (i32.const 9) (i32.const 99))"),
    ("table.fill", "(table.fill 0 (i32.const 0) (ref.null func) (i32.const 5))"),
];

const AFTER_STORE: &[(&str, &str)] = &[
    ("get", "(call $get (i32.const 8) (i32.const 1) (i32.const 128))"),
    ("get of nothing", "(call $get (i32.const 9) (i32.const 1) (i32.const 128))"),
    ("exists", "(drop (call $exists (i32.const 8) (i32.const 1)))"),
    ("delete", "(drop (call $delete (i32.const 8) (i32.const 1)))"),
    ("put", "(call $put (i32.const 8) (i32.const 1) (i32.const 0) (i32.const 50))"),
    ("get-many", "(call $get-many (i32.const 16) (i32.const 2) (i32.const 128))"),
    (
        "scan",
        "(call $scan (i32.const 8) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 3) (i32.const 128))",
    ),
];

/// Functions that go `$n` deep.
const DEPTHS: &[(&str, &str)] = &[
    (
        "of a small function",
        "(if (local.get $n) (then (call $f (i32.sub (local.get $n) (i32.const 1)))))",
    ),
    (
        "of many operands",
        "(if (local.get $n) (then
            (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4) (i64.const 5) (i64.const 6)
            (call $f (i32.sub (local.get $n) (i32.const 1)))
            drop drop drop drop drop drop))",
    ),
    (
        "through a table",
        "(if (local.get $n) (then (call_indirect (param i32) (i32.sub (local.get $n) (i32.const 1)) (i32.const 0))))",
    ),
];

fn boundary(name: String, component: bytes::Bytes) -> Case {
    Case { ask: Ask::Boundary(150_000_000), ..Case::new(name, component) }
}

pub fn add(cases: &mut Vec<Case>) {
    for (name, after) in AFTER {
        let core = format!(
            r#"(memory 1) (table 9 funcref) (elem (i32.const 0) func $nothing) (func $nothing) {BURN}
            (func (export "run") (param i32) (local i32) (call $burn (local.get 0)) {after})"#
        );
        cases.push(boundary(format!("fuel before {name}"), typed(&core, r#"(param "n" u32)"#, "")));
    }
    let results = r#"(memory (export "m") 1) (data (i32.const 65528) "\00\00\00\00\08\00\00\00")"#;
    let core = format!(
        r#"{results} {BURN} (func (export "run") (param i32) (result i32)
            (call $burn (i32.const 0)) (call $burn (local.get 0))
            (i32.store (i32.const 4) (i32.const 8)) (i32.const 0))"#
    );
    let ty = r#"(param "n" u32) (result (list u8))"#;
    let options = r#"(memory (core memory $i "m"))"#;
    cases.push(boundary("fuel before a result".into(), typed(&core, ty, options)));
    for (name, after) in AFTER_STORE {
        let body = format!(
            r#"{BURN} (func (export "run") (param i32) (result i64)
                (call $burn (local.get 0)) (i32.store8 (i32.const 8) (i32.const 97))
                (i32.store8 (i32.const 9) (i32.const 122)) (i32.store (i32.const 16) (i32.const 8))
                (i32.store (i32.const 20) (i32.const 1)) (i32.store (i32.const 24) (i32.const 9))
                (i32.store (i32.const 28) (i32.const 1)) {after} (i64.const 1))"#
        );
        let component = with_store_and(&body, r#"(param "n" u32)"#);
        cases.push(boundary(format!("fuel before {name}"), component));
    }
    for (name, body) in DEPTHS {
        let core = format!(
            r#"(table 1 funcref) (elem (i32.const 0) func $f) (func $f (export "run") (param $n i32) {body})"#
        );
        let case = boundary(format!("depth {name}"), typed(&core, r#"(param "n" u32)"#, ""));
        cases.push(Case { ask: Ask::Boundary(70_000), ..case });
    }
    // Body and locals count too.
    let wide = format!(
        r#"(func $f (export "run") (param $n i32) (local {}) {} (local.set 1 (i64.const 1))
            (if (local.get $n) (then (call $f (i32.sub (local.get $n) (i32.const 1))))))"#,
        "i64 ".repeat(100),
        "(drop (i64.mul (i64.const 3) (local.get 1))) ".repeat(200)
    );
    let case = boundary("depth of a large function".into(), typed(&wide, r#"(param "n" u32)"#, ""));
    cases.push(Case { ask: Ask::Boundary(70_000), ..case });
}
