//! Every way in which a guest fails, and results at and above their limits.

use bytes::Bytes;

use crate::Case;
use crate::guest::{plain, typed, wasm, with_store};
use crate::host_calls::HELP;

/// Bodies of a function without result that trap; there are a memory and a table.
const TRAPS: &[(&str, &str)] = &[
    ("unreachable", "unreachable"),
    ("i32.div_s by zero", "(drop (i32.div_s (i32.const 1) (i32.const 0)))"),
    ("i32.div_s of the smallest", "(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))"),
    ("i32.rem_u by zero", "(drop (i32.rem_u (i32.const 1) (i32.load (i32.const 0))))"),
    ("i64.div_u by zero", "(drop (i64.div_u (i64.const 1) (i64.load (i32.const 0))))"),
    (
        "i64.div_s of the smallest",
        "(drop (i64.div_s (i64.const 0x8000000000000000) (i64.const -1)))",
    ),
    ("i64.rem_s by zero", "(drop (i64.rem_s (i64.const 1) (i64.load (i32.const 0))))"),
    ("truncation of NaN", "(drop (i32.trunc_f32_s (f32.const nan)))"),
    ("truncation of infinity", "(drop (i64.trunc_f64_u (f64.const inf)))"),
    ("truncation of what is too large", "(drop (i32.trunc_f64_s (f64.const 2147483648)))"),
    ("truncation of what is too small", "(drop (i64.trunc_f32_u (f32.const -1)))"),
    ("load behind the end", "(drop (i32.load8_u (i32.const 65536)))"),
    ("load across the end", "(drop (i64.load (i32.const 65529)))"),
    ("load far away", "(drop (i32.load offset=0xffffffff (i32.const -1)))"),
    ("store behind the end", "(i32.store16 (i32.const 65535) (i32.const 1))"),
    ("memory.fill across the end", "(memory.fill (i32.const 65500) (i32.const 1) (i32.const 37))"),
    ("memory.copy across the end", "(memory.copy (i32.const 0) (i32.const 65500) (i32.const 37))"),
    ("memory.init across the end", "(memory.init $d (i32.const 0) (i32.const 1) (i32.const 2))"),
    (
        "memory.init of what was dropped",
        "(data.drop $d) (memory.init $d (i32.const 0) (i32.const 0) (i32.const 1))",
    ),
    ("table.get behind the end", "(drop (table.get 0 (i32.const 3)))"),
    ("table.set behind the end", "(table.set 0 (i32.const 3) (ref.null func))"),
    ("table.fill across the end", "(table.fill 0 (i32.const 2) (ref.null func) (i32.const 2))"),
    ("table.init across the end", "(table.init 0 $e (i32.const 0) (i32.const 0) (i32.const 2))"),
    ("indirect call of nothing", "(call_indirect (i32.const 1))"),
    ("indirect call behind the end", "(call_indirect (i32.const 3))"),
    ("indirect call of another type", "(call_indirect (param i32) (i32.const 1) (i32.const 0))"),
    ("endless loop", "(loop (br 0))"),
    ("endless recursion", "(call $run)"),
    (
        "endless loop of memory",
        "(loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable",
    ),
    (
        "endless loop of tables",
        "(loop (br_if 0 (i32.ne (table.grow 0 (ref.null func) (i32.const 99)) (i32.const -1)))) unreachable",
    ),
    ("too much memory at once, then a trap", "(drop (memory.grow (i32.const 65000))) unreachable"),
    (
        "too much memory at once, then another trap",
        "(drop (memory.grow (i32.const 65000))) (call_indirect (i32.const 1))",
    ),
];

const STARTS: &[(&str, &str)] = &[
    ("start function that traps", r#"(func $s unreachable) (start $s) (func (export "run"))"#),
    ("endless start function", r#"(func $s (loop (br 0))) (start $s) (func (export "run"))"#),
    ("start function that works", r#"(func $s) (start $s) (func (export "run"))"#),
    ("data that does not fit", r#"(memory 1) (data (i32.const 65535) "ab") (func (export "run"))"#),
    ("data that fits", r#"(memory 1) (data (i32.const 65534) "ab") (func (export "run"))"#),
    (
        "elements that do not fit",
        r#"(table 1 funcref) (elem (i32.const 1) func 0) (func (export "run"))"#,
    ),
    ("memory of the largest size", r#"(memory 256) (func (export "run"))"#),
];

/// Calls of the store that end the call, or do so when repeated.
const STORE: &[(&str, &str)] = &[
    ("empty key", "(drop (call $exists (i32.const 0) (i32.const 0)))"),
    ("key too long", "(drop (call $delete (i32.const 0) (i32.const 1025)))"),
    ("key out of bounds", "(drop (call $exists (i32.const 2621439) (i32.const 2)))"),
    ("value too long", "(call $put (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1048577))"),
    ("value out of bounds", "(call $put (i32.const 0) (i32.const 1) (i32.const 0) (i32.const -1))"),
    ("too many keys asked", "(call $get-many (i32.const 64) (i32.const 1025) (i32.const 128))"),
    ("result out of bounds", "(call $get (i32.const 0) (i32.const 1) (i32.const -8))"),
    ("result unaligned", "(call $get (i32.const 0) (i32.const 1) (i32.const 129))"),
    (
        "bad option",
        "(call $scan (i32.const 0) (i32.const 0) (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 128))",
    ),
    (
        "scans until the fuel ends",
        "(loop (call $scan (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 9999) (i32.const 128)) (br 0))",
    ),
    (
        "own writes scanned until the fuel ends",
        "(call $put-a) (loop (call $scan (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 3) (i32.const 128)) (br 0))",
    ),
    (
        "4 MiB written",
        "(loop
        (i32.store (i32.const 64) (local.get 0))
        (call $put (i32.const 64) (i32.const 4) (i32.const 0) (i32.const 900000))
        (local.set 0 (i32.add (local.get 0) (i32.const 1))) (br 0))",
    ),
];

/// A function that returns `bytes` and a length in memory as this type.
fn result(ty: &str, bytes: u32) -> Bytes {
    let length: String = bytes.to_le_bytes().iter().map(|byte| format!("\\{byte:02x}")).collect();
    let body = format!(
        r#"(memory (export "m") 256) (data (i32.const 4) "{length}")
        (func (export "run") (result i32) (i32.const 0))"#
    );
    typed(&body, &format!("(result {ty})"), r#"(memory (core memory $i "m"))"#)
}

/// A function whose result lies at 0 as these bytes say.
fn garbage(ty: &str, data: &str) -> Bytes {
    let body = format!(
        r#"(memory (export "m") 1) (data (i32.const 0) "{data}")
        (func (export "run") (result i32) (i32.const 0))"#
    );
    typed(&body, &format!("(result {ty})"), r#"(memory (core memory $i "m"))"#)
}

/// Components that pass the check and break the interface.
fn interfaces(cases: &mut Vec<Case>) {
    let mut add = |name: &str, component| cases.push(Case::new(format!("fault {name}"), component));
    add("text that is no UTF-8", garbage("string", r"\10\00\00\00\02\00\00\00........\ff\ff"));
    add("list out of bounds", garbage("(list u8)", r"\10\00\00\00\00\00\00\10"));
    add("list with a bad length", garbage("(list u64)", r"\08\00\00\00\ff\ff\ff\ff"));
    add("bad case", garbage("(result u64 (error string))", r"\09"));
    add("list unaligned", garbage("(list u64)", r"\01\00\00\00\01\00\00\00"));
    add("bad character in a list", garbage("(list char)", r"\08\00\00\00\01\00\00\00\00\d8\00\00"));
    let flat = |ty: &str, value: &str| {
        typed(
            &format!(r#"(func (export "run") (result i32) {value})"#),
            &format!("(result {ty})"),
            "",
        )
    };
    add("bad character", flat("char", "(i32.const 0xd800)"));
    add("any number is a truth", flat("bool", "(i32.const 77)"));
    add("numbers are cut", flat("u8", "(i32.const 0x1234)"));
    let after = wasm(
        r#"(component (core module $m (func (export "run")) (func (export "after") unreachable))
            (core instance $i (instantiate $m))
            (func (export "run") (canon lift (core func $i "run") (post-return (core func $i "after")))))"#,
    );
    add("trap after the result", after);
    let refuse = typed(
        r#"(memory (export "m") 1) (func (export "r") (param i32 i32 i32 i32) (result i32) (i32.const -1))
        (func (export "run") (param i32 i32))"#,
        r#"(param "a" string)"#,
        r#"(memory (core memory $i "m")) (realloc (core func $i "r"))"#,
    );
    cases.push(Case::new("fault memory that is none", refuse).with(vec!["text".into()]));
}

pub fn add(cases: &mut Vec<Case>) {
    for (name, body) in TRAPS {
        let core = format!(
            r#"(memory 1) (table 3 funcref) (data $d "d") (elem (i32.const 0) func $run) (elem $e func $run)
            (func $run (export "run") {body})"#
        );
        cases.push(Case::new(format!("fault {name}"), plain(&core)));
    }
    for (name, core) in STARTS {
        cases.push(Case::new(format!("start {name}"), plain(core)));
    }
    for (name, body) in STORE {
        let run = format!(
            r#"{HELP} (func (export "run") (result i64) (local i32) {body} (i64.const 1))"#
        );
        cases.push(Case::new(format!("fault {name}"), with_store(&run)));
    }
    let foreign = format!(
        r#"{HELP} (func (export "run") (result i64) (call $put-a)
            (drop (call $exists (i32.const 40) (i32.const 9))) (i64.const 1))"#
    );
    for shards in [2, 7, 256] {
        let case = Case::new(format!("shards {shards}"), with_store(&foreign));
        cases.push(Case { shards, ..case });
    }
    for (ty, length) in [
        ("(list u8)", 1 << 19),
        ("(list u8)", 1 << 20),
        ("(list u8)", 16 << 20),
        ("string", 1 << 20),
        ("string", 16 << 20),
        ("(list u64)", 65_000),
        ("(list u64)", 70_000),
        ("(list (tuple u8 u8))", 40_000),
    ] {
        cases.push(Case::new(format!("result {ty} of {length}"), result(ty, length)));
    }
    interfaces(cases);
}
