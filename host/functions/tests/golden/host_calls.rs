//! Every function of `aspen:function`, found and not found, small and large, before and after the
//! call's own writes. The results are hashed from the guest's memory.

use aspen_core::val::Val;
use bytes::Bytes;

use crate::Case;
use crate::guest::{wasm, with_store};
use crate::operators::mix;

/// `$hash` of memory, and keys: `a` at 0, `absent` at 8, `n/` at 16, `n0` at 24, `v/0` at 32,
/// `elsewhere` at 40. At 64 the list [`a`, `absent`, `v/0`].
pub const HELP: &str = r#"
    (data (i32.const 0) "a") (data (i32.const 8) "absent") (data (i32.const 16) "n/")
    (data (i32.const 24) "n0") (data (i32.const 32) "v/0") (data (i32.const 40) "elsewhere")
    (data (i32.const 64) "\00\00\00\00\01\00\00\00\08\00\00\00\06\00\00\00\20\00\00\00\03\00\00\00")
    (func $hash (param $from i32) (param $bytes i32) (result i64) (local $h i64)
        (loop
            (local.set $h (i64.mul (i64.xor (local.get $h) (i64.load8_u (local.get $from)))
                (i64.const 0x100000001b3)))
            (local.set $from (i32.add (local.get $from) (i32.const 1)))
            (local.set $bytes (i32.sub (local.get $bytes) (i32.const 1)))
            (br_if 0 (local.get $bytes)))
        (local.get $h))
    (func $number (param i32) (result i64) (i64.extend_i32_u (local.get 0)))
    (func $put-a (call $put (i32.const 0) (i32.const 1) (i32.const 8) (i32.const 6)))
    (func $delete-a (drop (call $delete (i32.const 0) (i32.const 1))))
    (func $put-n0 (call $put (i32.const 16) (i32.const 3) (i32.const 8) (i32.const 6)))"#;

/// A page of `n/` to `n0`, and its hash: option at 0x80000 is given flat.
fn scan(start: &str, end: &str, reverse: u32, limit: u32) -> String {
    format!(
        "(call $scan {start} {end} (i32.const {reverse}) (i32.const {limit}) (i32.const 128))
        (i64.add (call $hash (i32.const 128) (i32.const 9)) (call $hash (i32.const 4096) (i32.const 4000)))"
    )
}

/// Keys, each as its address and its length.
const A: &str = "(i32.const 0) (i32.const 1)";
const ABSENT: &str = "(i32.const 8) (i32.const 6)";
const V0: &str = "(i32.const 32) (i32.const 3)";

fn bodies() -> Vec<(String, String)> {
    let get = |key: &str| {
        format!(
            "(call $get {key} (i32.const 128))
            (i64.add (call $hash (i32.const 128) (i32.const 48)) (call $hash (i32.const 4096) (i32.const 64)))"
        )
    };
    let (a, absent, v0) = (A, ABSENT, V0);
    let many = |count: u32| {
        format!(
            "(call $get-many (i32.const 64) (i32.const {count}) (i32.const 128))
            (i64.add (call $hash (i32.const 128) (i32.const 8)) (call $hash (i32.const 4096) (i32.const 256)))"
        )
    };
    let list: Vec<(&str, String)> = vec![
        ("get", get(a)),
        ("get absent", get(absent)),
        ("get large", get(v0)),
        ("get own write", format!("(call $put-a) {}", get(a))),
        ("get own new key", format!("(call $put {absent} {a}) {}", get(absent))),
        ("get own delete", format!("(call $delete-a) {}", get(a))),
        ("get-many", many(3)),
        ("get-many of none", many(0)),
        ("get-many of own writes", format!("(call $put-a) (call $put {absent} {a}) {}", many(3))),
        ("exists", format!("(call $number (call $exists {a}))")),
        ("exists absent", format!("(call $number (call $exists {absent}))")),
        ("exists large", format!("(call $number (call $exists {v0}))")),
        ("delete", format!("(call $number (call $delete {a}))")),
        ("delete absent", format!("(call $number (call $delete {absent}))")),
        (
            "delete own new key",
            format!("(call $put {absent} {a}) (call $number (call $delete {absent}))"),
        ),
        (
            "put and delete and put",
            "(call $put-a) (call $delete-a) (call $put-a) (i64.const 1)".into(),
        ),
        ("put nothing", format!("(call $put {absent} (i32.const 0) (i32.const 0)) (i64.const 1)")),
        ("put 1 MiB", format!("(call $put {a} (i32.const 0) (i32.const 1048576)) (i64.const 1)")),
        ("put long key", format!("(call $put (i32.const 0) (i32.const 1024) {a}) (i64.const 1)")),
        ("put twice", format!("(call $put-a) (call $put {a} {a}) (i64.const 1)")),
    ];
    let named = |(name, body): (&str, String)| (name.to_string(), body);
    list.into_iter().chain(scans()).map(named).collect()
}

fn scans() -> Vec<(&'static str, String)> {
    let n = "(i32.const 16) (i32.const 2)";
    let to = |at: u32| format!("(i32.const 1) (i32.const {at}) (i32.const 2)");
    let open = "(i32.const 0) (i32.const 0) (i32.const 0)";
    let all = "(i32.const 0) (i32.const 0)";
    let (a, absent, v0) = (A, ABSENT, V0);
    vec![
        ("scan", scan(n, &to(24), 0, 5)),
        ("scan reverse", scan(n, &to(24), 1, 5)),
        ("scan without end", scan(all, open, 0, 7)),
        ("scan reverse without end", scan(all, open, 1, 2)),
        ("scan of none", scan(n, &to(24), 0, 0)),
        ("scan of an empty range", scan("(i32.const 24) (i32.const 2)", &to(16), 0, 5)),
        ("scan to the most entries", scan(n, &to(24), 0, 5000)),
        ("scan to the most bytes", scan(v0, open, 0, 100)),
        (
            "scan over own writes",
            format!(
                "(call $put-n0) (call $delete-a) (call $put {absent} {a}) {}",
                scan(all, open, 0, 9)
            ),
        ),
        (
            "scan reverse over own writes",
            format!(
                "(call $put-n0) (call $put (i32.const 32) (i32.const 1) {a}) {}",
                scan(all, open, 1, 4)
            ),
        ),
    ]
}

/// A component with all of `context`; `run` has this body.
fn context(body: &str) -> Bytes {
    wasm(&format!(
        r#"(component
            (import "aspen:function/context@0.1.0" (instance $context
                (export "revision" (func (result u64))) (export "time-ms" (func (result u64)))
                (export "seed" (func (result u64))) (export "caller" (func (result (list u8))))
                (export "log" (func (param "line" string)))))
            (core module $memory (memory (export "m") 2)
                (data (i32.const 0) "a line") (data (i32.const 16) "\c3\bc\f0\9f\a6\80")
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096)))
            (core instance $mem (instantiate $memory))
            (core func $revision (canon lower (func $context "revision")))
            (core func $time (canon lower (func $context "time-ms")))
            (core func $seed (canon lower (func $context "seed")))
            (core func $caller (canon lower (func $context "caller")
                (memory (core memory $mem "m")) (realloc (core func $mem "realloc"))))
            (core func $log (canon lower (func $context "log") (memory (core memory $mem "m"))))
            (core module $m
                (import "c" "m" (memory 2))
                (import "c" "revision" (func $revision (result i64)))
                (import "c" "time" (func $time (result i64)))
                (import "c" "seed" (func $seed (result i64)))
                (import "c" "caller" (func $caller (param i32)))
                (import "c" "log" (func $log (param i32 i32)))
                (func (export "run") (result i64) (local $n i32) (local $h i64) {body}))
            (core instance $i (instantiate $m (with "c" (instance
                (export "m" (memory $mem "m"))
                (export "revision" (func $revision)) (export "time" (func $time))
                (export "seed" (func $seed)) (export "caller" (func $caller))
                (export "log" (func $log))))))
            (func (export "run") (result u64) (canon lift (core func $i "run"))))"#
    ))
}

fn contexts() -> Vec<(&'static str, String)> {
    let log = |at: u32, bytes: u32| {
        format!("(call $log (i32.const {at}) (i32.const {bytes})) (i64.const 1)")
    };
    let caller = format!(
        "(call $caller (i32.const 128)) {} {} (local.get $h)",
        mix("(i64.load (i32.const 128))"),
        mix("(i64.load (i32.const 4120))")
    );
    let lines = "(loop (call $log (i32.const 0) (i32.and (local.get $n) (i32.const 7)))
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br_if 0 (i32.lt_u (local.get $n) (i32.const 70)))) (i64.const 1)";
    vec![
        ("revision", "(call $revision)".into()),
        ("time-ms", "(call $time)".into()),
        ("seed", "(call $seed)".into()),
        ("caller", caller),
        ("log", log(0, 6)),
        ("log of nothing", log(0, 0)),
        ("log of more than a line", log(0, 300)),
        ("log of many lines", lines.into()),
        ("log beyond ASCII", log(16, 6)),
        ("log of half a character", log(16, 5)),
        ("log out of bounds", log(0, 1 << 20)),
    ]
}

pub fn add(cases: &mut Vec<Case>) {
    for (name, body) in bodies() {
        let run = format!(r#"{HELP} (func (export "run") (result i64) {body})"#);
        cases.push(Case::new(format!("host {name}"), with_store(&run)));
    }
    for (name, body) in contexts() {
        cases.push(Case::new(format!("host {name}"), context(&body)));
    }
    // A real guest: examples/bank, compiled once and kept, so that no compiler has a say.
    let bank = Bytes::from_static(include_bytes!("bank.wasm"));
    let mut call = |name: &str, function: &str, args: &[Val]| {
        let case = Case::new(format!("bank {name}"), bank.clone()).with(args.to_vec());
        cases.push(Case { function: function.into(), ..case });
    };
    call("open", "open", &["eve".into(), 9u64.into()]);
    call("open again", "open", &["ada".into(), 9u64.into()]);
    call("transfer", "transfer", &["ada".into(), "ben".into(), 30u64.into()]);
    call("transfer of too much", "transfer", &["ada".into(), "ben".into(), 101u64.into()]);
    call("transfer to nobody", "transfer", &["ada".into(), "eve".into(), 1u64.into()]);
    call("balance", "balance", &["ben".into()]);
    call("touch", "touch", &[]);
    call("unknown function", "close", &[]);
    call("wrong arguments", "balance", &[1u64.into()]);
}
