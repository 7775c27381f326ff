//! The guests of `attacks.rs`, from text.

use aspen_core::limits::COMPONENT_BYTES_MAX;
use aspen_core::val::Val;
use bytes::Bytes;

/// A guest, and the arguments of its call.
pub struct Attack {
    /// The work that the attack does.
    pub name: String,
    /// Its component as text, with an export `run`.
    pub text: String,
    pub args: Option<Val>,
}

/// Instructions that are repeated until the fuel ends. Locals: `$i` counts, `$r` is random, `$x` is
/// an i64, `$f` and `$g` are floats; there are 16 MiB of memory and two tables of 20,000 elements.
const LOOPS: &[(&str, &str)] = &[
    ("empty loop", ""),
    ("integer additions", "(local.set $x (i64.add (local.get $x) (i64.const 3)))"),
    ("multiplications", "(local.set $x (i64.mul (local.get $x) (i64.const 3)))"),
    (
        "64-bit division, each needs the last",
        "(local.set $x (i64.div_u (i64.or (local.get $x) (i64.const 0x7000000000000000)) (i64.or (i64.shr_u (local.get $x) (i64.const 40)) (i64.const 3))))",
    ),
    (
        "64-bit remainder, each needs the last",
        "(local.set $x (i64.rem_s (i64.or (local.get $x) (i64.const 0x7000000000000000)) (i64.or (i64.shr_u (local.get $x) (i64.const 40)) (i64.const 3))))",
    ),
    ("square roots, each needs the last", "(local.set $f (f64.sqrt (local.get $f)))"),
    ("float divisions, each needs the last", "(local.set $f (f64.div (local.get $f) (f64.const 1.0000001)))"),
    ("float additions, each needs the last", "(local.set $f (f64.add (local.get $f) (f64.const 1.1)))"),
    ("float minimum, each needs the last", "(local.set $f (f64.min (local.get $f) (f64.const 1.1)))"),
    ("nearest, each needs the last", "(local.set $f (f64.nearest (f64.add (local.get $f) (f64.const 1.1))))"),
    ("32-bit ceil, each needs the last", "(local.set $g (f32.ceil (f32.add (local.get $g) (f32.const 1.1))))"),
    ("denormal multiplication, 64-bit", "(local.set $f (f64.mul (f64.const 0x1p-1060) (f64.add (local.get $f) (f64.const 0x1p-1060))))"),
    ("denormal addition, 64-bit", "(local.set $f (f64.sub (f64.const 0x1p-1060) (local.get $f)))"),
    ("denormal product, 64-bit", "(local.set $f (f64.mul (f64.const 0x1.8p-1026) (f64.add (local.get $f) (f64.const 0.7))))"),
    ("denormal product of two small numbers, 64-bit", "(local.set $f (f64.add (f64.const 0x1p-520) (f64.mul (f64.const 0x1.8p-520) (local.get $f))))"),
    ("denormal division, 64-bit", "(local.set $f (f64.div (f64.const 0x1p-1060) (f64.add (local.get $f) (f64.const 1.5))))"),
    ("denormal square root", "(local.set $f (f64.sqrt (f64.add (f64.mul (local.get $f) (f64.const 0)) (f64.const 0x1p-1060))))"),
    ("denormal multiplication, 32-bit", "(local.set $g (f32.mul (f32.const 0x1.8p-130) (f32.add (local.get $g) (f32.const 0.7))))"),
    ("denormal division, 32-bit", "(local.set $g (f32.div (f32.const 0x1.8p-130) (f32.add (local.get $g) (f32.const 1.7))))"),
    ("denormal promotion and demotion", "(local.set $g (f32.demote_f64 (f64.add (f64.promote_f32 (f32.add (local.get $g) (f32.const 0x1.8p-130))) (f64.const 0x1p-140))))"),
    ("denormal conversion to an integer", "(local.set $x (i64.add (local.get $x) (i64.trunc_sat_f64_s (f64.add (f64.convert_i64_s (i64.and (local.get $x) (i64.const 1))) (f64.const 0x1p-1060)))))"),
    ("truncations", "(local.set $x (i64.add (i64.const 1) (i64.trunc_sat_f64_u (f64.convert_i64_u (local.get $x)))))"),
    ("32-bit truncations", "(local.set $x (i64.add (i64.const 1) (i64.trunc_sat_f32_s (f32.convert_i64_u (local.get $x)))))"),
    ("bit counts", "(local.set $x (i64.add (i64.popcnt (local.get $x)) (i64.clz (i64.ctz (local.get $x)))))"),
    ("random branches", "(if (i32.and (local.get $r) (i32.const 0x10000)) (then (local.set $x (i64.add (local.get $x) (i64.const 1)))))"),
    (
        "random br_table",
        "(block $d (block $c (block $b (block $a (br_table $a $b $c $d (i32.and (i32.shr_u (local.get $r) (i32.const 16)) (i32.const 3))))
            (local.set $x (i64.const 1))) (local.set $x (i64.const 2))) (local.set $x (i64.const 3)))",
    ),
    ("random loads of 16 MiB, each needs the last", "(local.set $r (i32.add (i32.mul (local.get $r) (i32.const 1664525)) (i32.add (i32.load (i32.and (local.get $r) (i32.const 0xfffff8))) (i32.const 1013904223))))"),
    ("random loads across lines, each needs the last", "(local.set $r (i32.add (i32.mul (local.get $r) (i32.const 1664525)) (i32.add (i32.load (i32.or (i32.and (local.get $r) (i32.const 0xffefc0)) (i32.const 61))) (i32.const 1013904223))))"),
    ("random stores to 16 MiB", "(i64.store (i32.and (local.get $r) (i32.const 0xfffff8)) (local.get $x))"),
    ("stores across pages", "(i64.store (i32.or (i32.and (local.get $r) (i32.const 0xffe000)) (i32.const 4093)) (local.get $x))"),
    ("stores across one page's end", "(i64.store (i32.const 4093) (local.get $x))"),
    ("loads across one page's end", "(local.set $x (i64.load (i32.const 4093)))"),
    ("stores across pages, in order", "(i64.store offset=4093 (local.get $i) (local.get $x)) (local.set $i (i32.and (i32.add (local.get $i) (i32.const 0x11000)) (i32.const 0xffe000)))"),
    ("loads across pages, in order", "(local.set $x (i64.load offset=4093 (local.get $i))) (local.set $i (i32.and (i32.add (local.get $i) (i32.const 0x11000)) (i32.const 0xffe000)))"),
    ("loads of pages in order", "(local.set $x (i64.load (local.get $i))) (local.set $i (i32.and (i32.add (local.get $i) (i32.const 0x11040)) (i32.const 0xffffc0)))"),
    ("store and load that overlap", "(i32.store (i32.const 5) (local.get $r)) (i32.store8 (i32.const 7) (local.get $r)) (local.set $x (i64.load (i32.const 3)))"),
    ("calls", "(call $leaf)"),
    ("calls of many parameters", "(call $many (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4) (i64.const 5) (i64.const 6) (i64.const 7) (i64.const 8) (i64.const 9) (i64.const 10))"),
    ("indirect calls", "(call_indirect (i32.const 0))"),
    ("random indirect calls", "(call_indirect (i32.and (i32.shr_u (local.get $r) (i32.const 16)) (i32.const 3)))"),
    ("memory.size", "(drop (memory.size))"),
    ("memory.grow by nothing", "(drop (memory.grow (i32.const 0)))"),
    ("memory.grow that is refused", "(drop (memory.grow (i32.const 1)))"),
    ("memory.grow by too much", "(drop (memory.grow (i32.const 65535)))"),
    ("memory.fill of nothing", "(memory.fill (i32.const 0) (i32.const 1) (i32.const 0))"),
    ("memory.fill of 100 bytes", "(memory.fill (i32.const 0) (i32.const 1) (i32.const 100))"),
    ("memory.fill of 15 MiB", "(memory.fill (i32.const 0) (i32.const 1) (i32.const 0xf00000))"),
    ("memory.copy of nothing", "(memory.copy (i32.const 0) (i32.const 1) (i32.const 0))"),
    ("memory.copy of 7 MiB", "(memory.copy (i32.const 0) (i32.const 0x800001) (i32.const 0x700000))"),
    ("memory.copy backwards across pages", "(memory.copy (i32.const 4091) (i32.const 4090) (i32.const 60))"),
    ("memory.copy of scattered lines", "(memory.copy (i32.and (local.get $r) (i32.const 0xffffc0)) (i32.const 0) (i32.const 8))"),
    ("memory.init of nothing", "(memory.init $d (i32.const 0) (i32.const 0) (i32.const 0))"),
    ("memory.init of 8 bytes", "(memory.init $d (i32.const 0) (i32.const 0) (i32.const 8))"),
    ("data.drop", "(data.drop $d)"),
    ("elem.drop", "(elem.drop $e)"),
    ("table.get", "(drop (table.get $t (i32.const 3)))"),
    ("table.get of elements never used", "(drop (table.get $t (i32.rem_u (i32.shr_u (local.get $r) (i32.const 8)) (i32.const 19000))))"),
    ("table.set", "(table.set $t (i32.const 9) (ref.null func))"),
    ("table.set of a function", "(table.set $t (i32.const 9) (ref.func $leaf))"),
    ("ref.func", "(drop (ref.is_null (ref.func $leaf)))"),
    ("table.size", "(drop (table.size $t))"),
    ("table.grow by nothing", "(drop (table.grow $t (ref.null func) (i32.const 0)))"),
    ("table.grow that is refused", "(drop (table.grow $t (ref.null func) (i32.const 99)))"),
    ("table.fill of nothing", "(table.fill $t (i32.const 0) (ref.null func) (i32.const 0))"),
    ("table.fill", "(table.fill $t (i32.const 5) (ref.func $leaf) (i32.const 19000))"),
    ("table.copy of nothing", "(table.copy $u $t (i32.const 0) (i32.const 0) (i32.const 0))"),
    ("table.copy", "(table.copy $u $t (i32.const 0) (i32.const 5) (i32.const 19000))"),
    ("table.copy over itself", "(table.copy $t $t (i32.const 5) (i32.const 6) (i32.const 19000))"),
    ("table.init of nothing", "(table.init $t $e (i32.const 0) (i32.const 0) (i32.const 0))"),
    ("table.init", "(table.init $t $e (i32.const 5) (i32.const 0) (i32.const 40))"),
];

/// Host calls that are repeated until the fuel ends. At 0 lies `n/000007`, at 16 `v/1`, at 24 bytes
/// that begin no key; `$n` counts, and its last digits are written into the key at 0.
const HOST: &[(&str, &str)] = &[
    ("get", "(call $get (i32.const 0) (i32.const 8) (i32.const 128))"),
    ("get of nothing", "(call $get (i32.const 24) (i32.const 1) (i32.const 128))"),
    ("get of a key of 1 KiB", "(call $get (i32.const 24) (i32.const 1024) (i32.const 128))"),
    ("get of 1 MiB", "(call $get (i32.const 16) (i32.const 3) (i32.const 128))"),
    ("get-many of none", "(call $get-many (i32.const 0) (i32.const 0) (i32.const 128))"),
    ("get-many of 1,024", "(call $get-many (i32.const 0x100000) (i32.const 1024) (i32.const 128))"),
    (
        "get-many of too many",
        "(call $get-many (i32.const 0x100000) (i32.const 90000) (i32.const 128))",
    ),
    ("exists", "(drop (call $exists (i32.const 0) (i32.const 8)))"),
    ("exists of a key too long", "(drop (call $exists (i32.const 0) (i32.const 1100000)))"),
    ("exists where 1 MiB is", "(drop (call $exists (i32.const 16) (i32.const 3)))"),
    ("put", "(call $put (i32.const 0) (i32.const 8) (i32.const 0) (i32.const 0))"),
    ("put of 1 MiB", "(call $put (i32.const 0) (i32.const 8) (i32.const 0) (i32.const 1048576))"),
    (
        "put of a key of 1 KiB",
        "(call $put (i32.const 0) (i32.const 1024) (i32.const 0) (i32.const 0))",
    ),
    ("delete of nothing", "(drop (call $delete (i32.const 24) (i32.const 1)))"),
    (
        "put and delete",
        "(call $put (i32.const 0) (i32.const 8) (i32.const 0) (i32.const 0)) (drop (call $delete (i32.const 0) (i32.const 8)))",
    ),
    ("delete where 1 MiB is", "(drop (call $delete (i32.const 16) (i32.const 3)))"),
    (
        "scan of an empty range",
        "(call $scan (i32.const 24) (i32.const 1) (i32.const 1) (i32.const 24) (i32.const 1) (i32.const 0) (i32.const 9) (i32.const 128))",
    ),
    (
        "scan of no keys",
        "(call $scan (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 0) (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 128))",
    ),
    (
        "scan of one key",
        "(call $scan (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 128))",
    ),
    (
        "scan of 1,000 keys",
        "(call $scan (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1000) (i32.const 128))",
    ),
    (
        "scan of 1,000 keys in reverse",
        "(call $scan (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 1) (i32.const 1000) (i32.const 128))",
    ),
    (
        "scan of values of 1 MiB",
        "(call $scan (i32.const 16) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 9) (i32.const 128))",
    ),
    (
        "scan with long ends",
        "(call $scan (i32.const 0) (i32.const 1000000) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 128))",
    ),
];

/// Parts of a whole call that come once, however little it does.
const ONCE: &[(&str, &str)] = &[
    (
        "first touch of 16 MiB",
        "(memory 256) (func (export \"run\") (local $i i32) (loop (i32.store8 (local.get $i) (i32.const 1)) (local.set $i (i32.add (local.get $i) (i32.const 4096))) (br_if 0 (i32.lt_u (local.get $i) (i32.const 0x1000000)))))",
    ),
    (
        "first touch, then denormals",
        "(memory 256) (func (export \"run\") (local $i i32) (local $f f64) (loop (i32.store8 (local.get $i) (i32.const 1)) (local.set $i (i32.add (local.get $i) (i32.const 4096))) (br_if 0 (i32.lt_u (local.get $i) (i32.const 0x1000000)))) (loop (local.set $f (f64.mul (f64.const 0x1p-1060) (f64.add (local.get $f) (f64.const 0x1p-1060)))) (br 0)))",
    ),
    (
        "memory.grow page by page, each touched",
        "(memory 0) (func (export \"run\") (local $i i32) (loop (br_if 1 (i32.eq (memory.grow (i32.const 1)) (i32.const -1))) (i32.store8 (local.get $i) (i32.const 1)) (i32.store8 (i32.add (local.get $i) (i32.const 0x8000)) (i32.const 1)) (local.set $i (i32.add (local.get $i) (i32.const 65536))) (br 0)))",
    ),
    ("recursion as deep as it goes", "(func $run (export \"run\") (call $run))"),
    (
        "four tables of 20,000",
        "(table 20000 funcref) (table 20000 funcref) (table 20000 funcref) (table 20000 funcref) (func (export \"run\"))",
    ),
    ("nothing", "(func (export \"run\"))"),
    (
        "first touch of 2 MiB",
        "(memory 32) (func (export \"run\") (local $i i32) (loop (i32.store8 (local.get $i) (i32.const 1)) (local.set $i (i32.add (local.get $i) (i32.const 4096))) (br_if 0 (i32.lt_u (local.get $i) (i32.const 0x200000)))))",
    ),
];

fn plain(core: &str) -> String {
    format!(
        r#"(component (core module $m {core}) (core instance $i (instantiate $m))
            (func (export "run") (canon lift (core func $i "run"))))"#
    )
}

/// The instructions eight times, so that the loop itself counts little. Where it matters all memory is
/// touched first, which costs its 6 ms: what was never written is one page of zeroes, always near.
fn looped(name: &str, body: &str) -> String {
    let touch = "(loop (i32.store8 (local.get $i) (i32.const 0))
        (local.set $i (i32.add (local.get $i) (i32.const 4096)))
        (br_if 0 (i32.lt_u (local.get $i) (i32.const 0x1000000))))";
    let needs_all = ["16 MiB", "pages", "lines"].iter().any(|word| name.contains(word));
    let touch = if needs_all { touch } else { "" };
    let random = "(local.set $r (i32.add (i32.mul (local.get $r) (i32.const 1664525))
        (i32.const 1013904223)))";
    let random = if body.contains("$r") && !body.contains("local.set $r") { random } else { "" };
    let body = format!("{random} {body}").repeat(8);
    plain(&format!(
        r#"(memory 256) (data $d "0123456789abcdef")
        (table $t 20000 20000 funcref) (table $u 20000 funcref)
        (elem (table $t) (i32.const 0) func $leaf $leaf2 $leaf3 $leaf4) (elem $e func {})
        (func $leaf) (func $leaf2 nop) (func $leaf3 nop nop) (func $leaf4)
        (func $many (param i64 i64 i64 i64 i64 i64 i64 i64 i64 i64))
        (global (mut i64) (i64.const 0))
        (func (export "run") (local $i i32) (local $r i32) (local $x i64) (local $f f64)
            (local $g f32)
            {touch} (local.set $i (i32.const 0)) (local.set $r (i32.const 12345))
            (local.set $x (i64.const 0x123456789abcdef)) (local.set $f (f64.const 0.5))
            (loop {body} (br 0))
            (global.set 0 (i64.add (local.get $x) (i64.reinterpret_f64
                (f64.add (local.get $f) (f64.promote_f32 (local.get $g)))))))"#,
        "$leaf ".repeat(40)
    ))
}

/// A component with the store's functions and 16 MiB of memory less what lists need; lists that
/// come back lie at one place, so that memory never ends.
fn host(body: &str, times: u32) -> String {
    let text = include_str!("../../host/functions/tests/guest/store.wat");
    let run = format!(
        r#"(data (i32.const 0) "n/000007") (data (i32.const 16) "v/1") (data (i32.const 24) "\ff\ff")
        (func (export "run") (result i64) (local $n i32)
            (loop (i32.store (i32.add (i32.const 0x100000) (i32.shl (local.get $n) (i32.const 3))) (i32.const 0))
                (i32.store (i32.add (i32.const 0x100004) (i32.shl (local.get $n) (i32.const 3))) (i32.const 8))
                (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1100))))
            (loop {} (br 0)) (i64.const 1))"#,
        body.repeat(times as usize)
    );
    let text = text.replace("{params}", "").replace("{body}", &run);
    // The allocator begins again with every call, and 16 KiB are enough for small blocks.
    let bump = "(global.set $next (i32.add (local.get $at) (local.get 3)))";
    text.replace(bump, "")
        .replace("(memory (export \"m\") 40)", "(memory (export \"m\") 256)")
        .replace("(import \"s\" \"m\" (memory 40))", "(import \"s\" \"m\" (memory 256))")
}

/// Calls of `context`: lines of this many bytes, or the caller.
fn context(body: &str) -> String {
    format!(
        r#"(component
            (import "aspen:function/context@0.1.0" (instance $context
                (export "revision" (func (result u64))) (export "caller" (func (result (list u8))))
                (export "log" (func (param "line" string)))))
            (core module $memory (memory (export "m") 256)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096)))
            (core instance $mem (instantiate $memory))
            (core func $revision (canon lower (func $context "revision")))
            (core func $caller (canon lower (func $context "caller")
                (memory (core memory $mem "m")) (realloc (core func $mem "realloc"))))
            (core func $log (canon lower (func $context "log") (memory (core memory $mem "m"))))
            (core module $m
                (import "c" "revision" (func $revision (result i64)))
                (import "c" "caller" (func $caller (param i32)))
                (import "c" "log" (func $log (param i32 i32)))
                (func (export "run") (loop {body} (br 0))))
            (core instance $i (instantiate $m (with "c" (instance (export "revision" (func $revision))
                (export "caller" (func $caller)) (export "log" (func $log))))))
            (func (export "run") (canon lift (core func $i "run"))))"#
    )
}

/// A function that takes a value of this type and returns it, once.
fn echo(ty: &str) -> String {
    format!(
        r#"(component
            (core module $m (memory (export "m") 256)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
                (func (export "run") (param i32 i32) (result i32) (i32.store (i32.const 0) (local.get 0))
                    (i32.store (i32.const 4) (local.get 1)) (i32.const 0)))
            (core instance $i (instantiate $m))
            (func (export "run") (param "a" {ty}) (result {ty}) (canon lift (core func $i "run")
                (memory (core memory $i "m")) (realloc (core func $i "realloc")))))"#
    )
}

/// All of them.
pub fn attacks() -> Vec<Attack> {
    let mut all = vec![];
    let mut add = |name: String, text| all.push(Attack { name, text, args: None });
    for (name, body) in LOOPS {
        add(name.to_string(), looped(name, body));
    }
    for (name, body) in HOST {
        add(format!("host: {name}"), host(body, 8));
    }
    add("host: revision".into(), context(&"(drop (call $revision))".repeat(8)));
    add("host: caller".into(), context("(call $caller (i32.const 64))"));
    for bytes in [1, 256, 1 << 20, 15 << 20] {
        let body = format!("(call $log (i32.const 0) (i32.const {bytes}))");
        add(format!("host: log of {bytes} bytes"), context(&body));
    }
    for (name, core) in ONCE {
        add(format!("once: {name}"), plain(core));
    }
    let functions = "(func) ".repeat(9_000) + &"(global (mut i64) (i64.const 1)) ".repeat(900);
    let segments = format!("(memory 16) (data (i32.const 0) \"{}\")", "x".repeat(1 << 20));
    let elements =
        format!("(table 20000 funcref) (elem (i32.const 0) func {})", "0 ".repeat(20_000));
    for (name, core) in [
        ("9,000 functions, 900 globals", functions),
        ("1 MiB of data", segments),
        ("20,000 elements", elements),
    ] {
        add(format!("once: {name}"), plain(&format!("(func) {core} (func (export \"run\"))")));
    }
    let mut add = |name: &str, ty: &str, arg| {
        let (name, text) = (format!("once: {name}"), echo(ty));
        all.push(Attack { name, text, args: Some(arg) });
    };
    let numbers = (0..60_000u64).map(|at| Val::U64(at << 56)).collect();
    add("60,000 numbers in and out", "(list u64)", Val::List(numbers));
    let texts = (0..60_000).map(|_| Val::from("")).collect();
    add("60,000 empty texts in and out", "(list string)", Val::List(texts));
    let bytes = Val::Bytes(Bytes::from(vec![1; 60_000]));
    add("60,000 bytes in and out", "(list u8)", bytes);
    all.extend(large());
    all
}

/// Attacks by the cost of making an instance of a large component, which runs no code meanwhile.
fn large() -> impl Iterator<Item = Attack> {
    // The system maps data that lie close; what is spread is copied, and each page of it touched.
    let spread = |segments: u32, bytes: usize, step: u32| {
        let data = "x".repeat(bytes);
        let segment = |at: u32| format!(r#"(data (i32.const {}) "{data}")"#, at % 1024 * step);
        (0..segments).map(segment).collect::<String>()
    };
    let touch = "(memory 1024) (func (export \"run\") (local $i i32) (loop (i32.store8 (local.get $i) (i32.const 1)) (local.set $i (i32.add (local.get $i) (i32.const 4096))) (br_if 0 (i32.lt_u (local.get $i) (i32.const 0x4000000)))))";
    let run = "(func (export \"run\"))";
    let functions = "(func) ".repeat(29_000);
    let elements = format!("(elem (i32.const 0) func {})", "0 ".repeat(20_000)).repeat(200);
    let nulls =
        format!("(elem (i32.const 0) funcref {})", "(ref.null func) ".repeat(20_000)).repeat(50);
    let modules = "(core module $m (memory 32) (func (export \"run\"))) (core instance $i (instantiate $m))".to_string()
        + &(1..64).map(|at| format!("(core module $m{at} (global (mut i64) (i64.const 1)) (func)) (core instance (instantiate $m{at}))")).collect::<String>();
    let all = [
        ("nothing", plain(run)),
        ("first touch of 64 MiB", plain(touch)),
        (
            "64 KiB of data at 64 KiB each of 64 MiB",
            plain(&format!("{run} (memory 1024) {}", spread(256, 65_536, 65_536))),
        ),
        (
            "a byte of data in every 64 KiB, 90,000 times",
            plain(&format!("{run} (memory 1024) {}", spread(90_000, 1, 65_536))),
        ),
        (
            "a byte of data in every page of 4 MiB, 90,000 times",
            plain(&format!("{run} (memory 1024) {}", spread(90_000, 1, 4096))),
        ),
        ("29,000 functions", plain(&format!("{run} {functions}"))),
        ("4 million elements", plain(&format!("{run} (table 20000 funcref) {elements}"))),
        ("a million null elements", plain(&format!("{run} (table 20000 funcref) {nulls}"))),
        ("8 tables of 20,000", plain(&format!("{run} {}", "(table 20000 funcref)".repeat(8)))),
        (
            "64 modules",
            format!(
                "(component {modules} (func (export \"run\") (canon lift (core func $i \"run\"))))"
            ),
        ),
    ];
    let long = format!(r#"(component (@custom "p" "{}")"#, "x".repeat(COMPONENT_BYTES_MAX));
    all.into_iter().map(move |(name, text)| {
        let (name, text) = (format!("once: large, {name}"), text.replacen("(component", &long, 1));
        Attack { name, text, args: None }
    })
}
