//! The view and the results of a call: own writes, arguments, refusals, compiled code on disk.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unreachable,
    reason = "a test fails by a panic, also in its helper functions"
)]

mod guest;

use std::fs;

use aspen_core::function::{CallEnd, CallResult, Functions};
use aspen_core::ids::ComponentHash;
use aspen_core::key::{Key, Value};
use aspen_core::limits::LARGE_COMPONENT_BYTES_MAX;
use aspen_core::refusal::Refusal;
use aspen_core::transaction::WriteOp;
use aspen_core::val::Val;
use aspen_functions::{ComponentError, LOG_LINES_MAX, Options, check};
use bytes::Bytes;
use guest::{Shard, plain, returned, typed, wasm, with_store};
use proptest::prelude::*;

fn refused(result: &CallResult, refusal: Refusal) {
    assert_eq!(result.end, CallEnd::Refused(refusal));
    assert_eq!((result.fuel.get(), result.writes.len()), (0, 0));
}

/// Puts over a stored key and reads it: version 6 of a key that was stored at version 5.
#[test]
fn functions_call_sees_its_own_writes_as_they_will_be() {
    let body = r#"(data (i32.const 0) "keyvalue")
        (func (export "run") (result i64)
            (call $put (i32.const 0) (i32.const 3) (i32.const 3) (i32.const 5))
            (call $get (i32.const 0) (i32.const 3) (i32.const 64))
            ;; length of the value, version, create revision, mod revision as decimal digits
            (i64.add (i64.mul (i64.load32_u (i32.const 76)) (i64.const 1000))
            (i64.add (i64.mul (i64.load (i32.const 80)) (i64.const 100))
            (i64.add (i64.mul (i64.load (i32.const 88)) (i64.const 10))
                (i64.load (i32.const 96))))))"#;
    let key = Key::try_from("key").unwrap();
    let write = WriteOp::set(key, Value::try_from("value").unwrap());
    let mut shard = Shard::new();
    let result = shard.run(&with_store(body));
    assert_eq!(result.end, returned(&[Val::U64(5_177)]));
    shard.set("key", "old", 5);
    let result = shard.run(&with_store(body));
    assert_eq!(result.end, returned(&[Val::U64(5_637)]));
    assert_eq!(result.writes, [write]);
}

#[test]
fn functions_deleted_key_is_gone_for_the_call() {
    let body = r#"(data (i32.const 0) "key")
        (func $has (result i64) (i64.extend_i32_u (call $exists (i32.const 0) (i32.const 3))))
        (func $delete2 (result i64) (i64.extend_i32_u (call $delete (i32.const 0) (i32.const 3))))
        (func (export "run") (result i64)
            (i64.mul (call $has) (i64.const 1000))
            (i64.add (i64.mul (call $delete2) (i64.const 100)))
            (i64.add (i64.mul (call $has) (i64.const 10)))
            (i64.add (call $delete2)))"#;
    let mut shard = Shard::new();
    let absent = shard.run(&with_store(body));
    assert_eq!((absent.end, absent.writes), (returned(&[Val::U64(0)]), vec![]));
    shard.set("key", "old", 5);
    let stored = shard.run(&with_store(body));
    assert_eq!(stored.end, returned(&[Val::U64(1100)]));
    assert_eq!(stored.writes, [WriteOp::Delete { key: Key::try_from("key").unwrap() }]);
}

/// Stored a, b, c; the call deletes b and puts d. Digits: keys in the page, more, first byte of the
/// first key, and its version.
#[test]
fn functions_scan_pages_through_stored_and_own_keys() {
    let scan = |reverse: u32, limit: u32| {
        let body = format!(
            r#"(data (i32.const 0) "abcd")
            (func (export "run") (result i64) (local $entry i32)
                (drop (call $delete (i32.const 1) (i32.const 1)))
                (call $put (i32.const 3) (i32.const 1) (i32.const 0) (i32.const 4))
                (call $scan (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                    (i32.const {reverse}) (i32.const {limit}) (i32.const 64))
                (local.set $entry (i32.load (i32.const 64)))
                (i64.mul (i64.load32_u (i32.const 68)) (i64.const 100000))
                (i64.add (i64.mul (i64.load8_u (i32.const 72)) (i64.const 10000)))
                (i64.add (i64.mul (i64.load8_u (i32.load (local.get $entry))) (i64.const 10)))
                (i64.add (i64.load offset=16 (local.get $entry))))"#
        );
        let mut shard = Shard::new();
        for key in ["a", "b", "c"] {
            shard.set(key, "old", 5);
        }
        let result = shard.run(&with_store(&body));
        assert_eq!(result.writes.len(), 2);
        result.end
    };
    let page = |count: u64, more: u64, key: u8, version: u64| {
        let digits = count * 100_000 + more * 10_000 + u64::from(key) * 10 + version;
        returned(&[Val::U64(digits)])
    };
    assert_eq!(scan(0, 9), page(3, 0, b'a', 5));
    assert_eq!(scan(1, 9), page(3, 0, b'd', 1));
    assert_eq!(scan(0, 2), page(2, 1, b'a', 5));
}

/// Asks for a stored key and one that is not: digits are the two discriminants and the version.
#[test]
fn functions_many_keys_are_read_at_once() {
    let body = r#"(data (i32.const 0) "ab")
        (data (i32.const 8) "\00\00\00\00\01\00\00\00\01\00\00\00\01\00\00\00")
        (func (export "run") (result i64) (local $found i32)
            (call $get-many (i32.const 8) (i32.const 2) (i32.const 64))
            (local.set $found (i32.load (i32.const 64)))
            (i64.mul (i64.load8_u (local.get $found)) (i64.const 100))
            (i64.add (i64.mul (i64.load8_u offset=40 (local.get $found)) (i64.const 10)))
            (i64.add (i64.load offset=16 (local.get $found))))"#;
    let mut shard = Shard::new();
    shard.set("a", "old", 5);
    assert_eq!(shard.run(&with_store(body)).end, returned(&[Val::U64(105)]));
}

/// Revision 7, time 1,000 and seed 42 of the entry, and a line for the operator.
#[test]
fn functions_context_is_that_of_the_entry() {
    let bytes = wasm(
        r#"(component
            (import "aspen:function/context@0.1.0" (instance $context
                (export "revision" (func (result u64))) (export "time-ms" (func (result u64)))
                (export "seed" (func (result u64))) (export "log" (func (param "line" string)))))
            (core module $memory (memory (export "m") 1) (data (i32.const 0) "hello"))
            (core instance $mem (instantiate $memory))
            (core func $revision (canon lower (func $context "revision")))
            (core func $time (canon lower (func $context "time-ms")))
            (core func $seed (canon lower (func $context "seed")))
            (core func $log (canon lower (func $context "log") (memory (core memory $mem "m"))))
            (core module $m
                (import "c" "revision" (func $revision (result i64)))
                (import "c" "time" (func $time (result i64)))
                (import "c" "seed" (func $seed (result i64)))
                (import "c" "log" (func $log (param i32 i32)))
                (func (export "run") (result i64) (local $n i32)
                    (loop
                        (call $log (i32.const 0) (i32.const 5))
                        (local.set $n (i32.add (local.get $n) (i32.const 1)))
                        (br_if 0 (i32.lt_u (local.get $n) (i32.const 99))))
                    (call $log (i32.const 0) (i32.const 1000))
                    (i64.mul (call $revision) (i64.const 1000000))
                    (i64.add (i64.mul (call $time) (i64.const 100)))
                    (i64.add (call $seed))))
            (core instance $i (instantiate $m (with "c" (instance
                (export "revision" (func $revision)) (export "time" (func $time))
                (export "seed" (func $seed)) (export "log" (func $log))))))
            (func (export "run") (result u64) (canon lift (core func $i "run"))))"#,
    );
    let result = Shard::new().run(&bytes);
    assert_eq!(result.end, returned(&[Val::U64(7_100_042)]));
    assert_eq!(result.log, vec!["hello"; LOG_LINES_MAX]);
}

#[test]
fn functions_err_is_an_abort_without_writes() {
    let body = r#"(memory (export "m") 1) (data (i32.const 0) "\01\00\00\00\10\00\00\00\02\00\00\00....no")
        (func (export "run") (result i32) (i32.const 0))"#;
    let mut shard = Shard::new();
    let ty = "(result (result u32 (error string)))";
    let result = shard.run(&typed(body, ty, r#"(memory (core memory $i "m"))"#));
    let error = aspen_core::val::encode_vals(&[Val::from("no")]).unwrap();
    assert_eq!(result.end, CallEnd::Aborted(error));
    assert_eq!(result.writes, []);
    assert!(result.fuel.get() < 2_000);
}

#[test]
fn functions_results_keep_their_shape() {
    let mut shard = Shard::new();
    let mut check = |ty: &str, core: &str, vals: &[Val]| {
        let body = format!(r#"(func (export "run") {core})"#);
        assert_eq!(shard.run(&typed(&body, ty, "")).end, returned(vals));
    };
    check("", "", &[]);
    check("(result (result))", "(result i32) (i32.const 0)", &[]);
    check("(result bool)", "(result i32) (i32.const 1)", &[Val::Bool(true)]);
    let nan = Val::F64(0x7ff8_0000_0000_0000);
    check("(result f64)", "(result f64) (f64.const -nan:0x1234)", &[nan]);
    let choice = r#"(component (type $c (enum "one" "two")) (export $choice "choice" (type $c))
        (core module $m (func (export "run") (result i32) (i32.const 1)))
        (core instance $i (instantiate $m))
        (func (export "run") (result $choice) (canon lift (core func $i "run"))))"#;
    assert_eq!(shard.run(&wasm(choice)).end, returned(&[Val::Enum("two".into())]));
}

#[test]
fn functions_unknown_things_are_refused() {
    let mut shard = Shard::new();
    let hash = shard.upload(&plain(r#"(func (export "run"))"#));
    refused(&shard.call(hash, "walk", &[]), Refusal::FunctionUnknown);
    refused(&shard.call(hash, "", &[]), Refusal::FunctionUnknown);
    refused(&shard.call(ComponentHash::of(b"?"), "run", &[]), Refusal::ComponentUnknown);
    let unchecked = shard.upload(&Bytes::from_static(b"\0asm but not really"));
    refused(&shard.call(unchecked, "run", &[]), Refusal::ComponentUnknown);
}

#[test]
fn functions_arguments_must_fit() {
    let body = r#"(memory (export "m") 1)
        (func (export "r") (param i32 i32 i32 i32) (result i32) (i32.const 64))
        (func (export "run") (param i32 i32 i64))"#;
    let ty = r#"(param "name" string) (param "amount" u64)"#;
    let options = r#"(memory (core memory $i "m")) (realloc (core func $i "r"))"#;
    let mut shard = Shard::new();
    let hash = shard.upload(&typed(body, ty, options));
    let good = [Val::from("ada"), Val::U64(1)];
    assert_eq!(shard.call(hash, "run", &good).end, returned(&[]));
    let bad: [&[Val]; 5] = [
        &[],
        &good[..1],
        &[Val::from("ada"), Val::U32(1)],
        &[Val::U64(1), Val::from("ada")],
        &[Val::from("ada"), Val::U64(1), Val::U64(1)],
    ];
    for args in bad {
        refused(&shard.call(hash, "run", args), Refusal::BadArguments);
    }
}

/// `func(list<u8>) -> result<list<u8>, string>` that returns its argument.
#[test]
fn functions_bytes_have_a_fast_way() {
    let body = r#"(memory (export "m") 4)
        (func (export "r") (param i32 i32 i32 i32) (result i32) (i32.const 64))
        (func (export "run") (param i32 i32) (result i32)
            (i32.store (i32.const 4) (local.get 0))
            (i32.store (i32.const 8) (local.get 1))
            (i32.const 0))"#;
    let ty = r#"(param "args" (list u8)) (result (result (list u8) (error string)))"#;
    let options = r#"(memory (core memory $i "m")) (realloc (core func $i "r"))"#;
    let mut shard = Shard::new();
    let hash = shard.upload(&typed(body, ty, options));
    let bytes = Val::Bytes(Bytes::from(vec![7; 100_000]));
    let result = shard.call(hash, "run", std::slice::from_ref(&bytes));
    assert_eq!(result.end, returned(std::slice::from_ref(&bytes)));
    assert!((800_000..900_000).contains(&result.fuel.get()), "{} fuel", result.fuel.get());
    let list = Val::List(vec![Val::U8(1), Val::U8(2)]);
    let result = shard.call(hash, "run", &[list]);
    assert_eq!(result.end, returned(&[Val::Bytes(Bytes::from_static(&[1, 2]))]));
}

#[test]
fn functions_compile_ahead_and_calls_find_the_same_component() {
    let mut shard = Shard::new();
    let bytes = plain(r#"(func (export "run"))"#);
    let hash = shard.upload(&bytes);
    shard.functions.prepare(&hash, &bytes);
    shard.functions.prepare(&hash, &bytes);
    assert_eq!(shard.call(hash, "run", &[]).end, returned(&[]));
    shard.functions.prepare(&ComponentHash::of(b"junk"), &Bytes::from_static(b"junk"));
}

#[test]
fn functions_compiled_code_survives_on_disk_and_damage_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let options = || Options { cache: Some(dir.path().to_path_buf()), ..Options::default() };
    let bytes = typed(r#"(func (export "run") (result i64) (i64.const 7))"#, "(result u64)", "");
    let good = Shard::with(options()).run(&bytes);
    assert_eq!(good.end, returned(&[Val::U64(7)]));
    let files = || fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().path());
    let [path] = &files().collect::<Vec<_>>()[..] else { panic!("one component, one file") };
    let code = fs::read(path).unwrap();

    let other = Bytes::from_static(b"aspen compiled 1 and then something else");
    let mut flipped = code.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for damaged in [&flipped[..], &code[..code.len() / 2], b"", &other] {
        fs::write(path, damaged).unwrap();
        assert_eq!(Shard::with(options()).run(&bytes), good);
        assert_eq!(fs::read(path).unwrap(), code, "good code replaces damaged code");
    }
}

#[test]
fn functions_upload_check_names_the_thing() {
    let error = |bytes: &[u8]| check(bytes).unwrap_err().to_string();
    let has = |bytes: &[u8], parts: &[&str]| {
        let error = error(bytes);
        assert!(parts.iter().all(|part| error.contains(part)), "{error} should say {parts:?}");
    };
    has(b"hello", &["no WebAssembly component", "aspen build"]);
    has(&wasm("(module)"), &["core WebAssembly module", "aspen build"]);
    has(&vec![0; LARGE_COMPONENT_BYTES_MAX + 1], &["25165825 bytes", "limit is 25165824"]);
    has(&wasm("(component)"), &["exports no function"]);
    let wasi = r#"(component (import "wasi:random/random@0.2.0"
        (instance (export "get-random-u64" (func (result u64))))))"#;
    has(&wasm(wasi), &["wasi:random/random@0.2.0", "wasm32-unknown-unknown"]);
    has(
        &wasm(r#"(component (import "host" (func)))"#),
        &["\"host\"", "aspen:function/store@0.1.0"],
    );
    let wrong = r#"(component (import "aspen:function/context@0.1.0"
        (instance (export "seed" (func (result u32))))))"#;
    has(&wasm(wrong), &["seed: func() -> u32", "wit/aspen.wit"]);
    let unknown = r#"(component (import "aspen:function/context@0.1.0"
        (instance (export "clock" (func (result u64))))))"#;
    has(&wasm(unknown), &["clock: func() -> u64"]);
    has(&wasm("(component (component))"), &["another component"]);
    let resource = r#"(component (type $r (resource (rep i32))) (export $e "thing" (type $r))
        (core module $m (func (export "run") (param i32))) (core instance $i (instantiate $m))
        (func (export "run") (param "r" (own $e)) (canon lift (core func $i "run"))))"#;
    has(&wasm(resource), &["\"run\"", "resource"]);
}

/// Returns a component as `use shapes.{point}` in a world makes it: it imports the interface and the type.
fn uses(interface: &str, more: &str) -> Bytes {
    wasm(&format!(
        r#"(component
            (import "{interface}" (instance $shapes
                (type $point (record (field "x" u32) (field "y" u32)))
                (export "point" (type $named (eq $point)))
                (type $line (list $named))
                (export "line" (type (eq $line)))
                {more}))
            (alias export $shapes "point" (type $point))
            (import "point" (type $used (eq $point)))
            (core module $m (func (export "run") (param i32 i32) (result i32)
                (i32.sub (local.get 0) (local.get 1))))
            (core instance $i (instantiate $m))
            (func (export "run") (param "at" $used) (result u32)
                (canon lift (core func $i "run"))))"#
    ))
}

#[test]
fn functions_may_use_types_of_an_interface_of_their_own() {
    let bytes = uses("demo:shapes/shapes@1.2.0", "");
    let manifest = check(&bytes).unwrap();
    let signatures: Vec<String> = manifest.functions.iter().map(ToString::to_string).collect();
    assert_eq!(signatures, ["run: func(at: record { x: u32, y: u32 }) -> u32"]);
    let mut shard = Shard::new();
    let component = shard.upload(&bytes);
    let at = Val::Record(vec![("x".into(), Val::U32(9)), ("y".into(), Val::U32(2))]);
    assert_eq!(shard.call(component, "run", &[at]).end, returned(&[Val::U32(7)]));
    // Whatever else is in it is refused by the interface's name.
    for more in [
        r#"(export "area" (func (result u32)))"#,
        r#"(export "shape" (type (sub resource)))"#,
        r#"(export "inner" (instance (export "point" (type (eq $named)))))"#,
    ] {
        let error = check(&uses("demo:shapes/shapes@1.2.0", more)).unwrap_err().to_string();
        assert!(error.contains("imports \"demo:shapes/shapes@1.2.0\", which"), "{more}: {error}");
    }
    let error = check(&uses("aspen:function/types@0.2.0", "")).unwrap_err().to_string();
    assert!(error.contains("aspen:function/types@0.2.0"), "of another version: {error}");
}

#[test]
fn functions_upload_check_bounds_what_is_compiled() {
    let has = |body: &str, what: &str| {
        let error = check(&plain(body)).unwrap_err().to_string();
        assert!(error.contains(what), "{error} should say {what}");
    };
    let run = |body: &str| format!(r#"(func (export "run") {body})"#);
    has(&run(&"nop ".repeat(70_000)), "bytes in one function");
    has(&run(&format!("(local {})", "i32 ".repeat(1001))), "1001 locals in one function");
    has(&run(&format!("{} {}", "block ".repeat(300), "end ".repeat(300))), "nested blocks");
    has(&format!("(memory 257) {}", run("")), "bytes of memory at the start");
    has(&format!("(table 20001 funcref) {}", run("")), "elements in one table");
    has(&format!("{} {}", run(""), "(func) ".repeat(10_001)), "functions, limit is 10000");
    has(&format!("{} {}", run(""), "(global i32 (i32.const 0)) ".repeat(1001)), "globals");
    has(&format!("(memory 1) (memory 1) {}", run("")), "memories");
    let four = "(core instance (instantiate $m)) ".repeat(4);
    let many =
        r#"(component (core module $m (func (export "run"))) (core instance $i (instantiate $m)) "#;
    let many = wasm(&format!("{many} {four})"));
    assert!(matches!(check(&many), Err(ComponentError::TooMuch { found: 5, .. })));
}

#[test]
fn functions_upload_check_refuses_what_may_differ_between_machines() {
    for (body, what) in [
        ("(memory 1 1 shared)", "thread"),
        ("(memory i64 1)", "memory64"),
        ("(func (drop (v128.const i64x2 0 0)))", "SIMD"),
        ("(tag)", "exceptions"),
        ("(func return_call 0)", "tail"),
    ] {
        let error = check(&plain(&format!(r#"{body} (func (export "run"))"#))).unwrap_err();
        assert!(matches!(error, ComponentError::Invalid { .. }), "{what}: {error}");
    }
}

#[test]
fn functions_manifest_lists_the_exports_in_order() {
    let bytes = wasm(
        r#"(component (core module $m (func (export "f") (param i32)))
            (core instance $i (instantiate $m))
            (func (export "zeta") (param "n" u32) (canon lift (core func $i "f")))
            (func (export "add-one") (param "n" s32) (canon lift (core func $i "f"))))"#,
    );
    let manifest = check(&bytes).unwrap();
    let texts: Vec<_> = manifest.functions.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["add-one: func(n: s32)", "zeta: func(n: u32)"]);
    assert_eq!(manifest.component, ComponentHash::of(&bytes));
}

#[test]
fn functions_truncated_component_is_refused() {
    let bytes = with_store(r#"(func (export "run") (result i64) (i64.const 1))"#);
    let whole = check(&bytes).unwrap();
    for length in 0..bytes.len() {
        // Only the names for debuggers stand behind the export.
        if let Ok(cut) = check(&bytes[..length]) {
            assert_eq!(cut.functions, whole.functions);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn functions_check_survives_random_bytes(junk in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(check(&junk).is_err());
        let component = [b"\0asm\x0d\0\x01\0", &junk[..]].concat();
        let _either_way = check(&component);
    }

    /// Checks, compiles and calls a damaged component: none of it does harm.
    #[test]
    fn functions_damaged_component_is_refused_or_runs(at in 0usize..1000, byte: u8) {
        let bytes = with_store(r#"(func (export "run") (result i64) (i64.const 1))"#);
        let mut damaged = bytes.to_vec();
        let at = at % damaged.len();
        damaged[at] = byte;
        let mut shard = Shard::new();
        let hash = shard.upload(&damaged.into());
        let result = shard.try_call(hash, "run", &[]);
        prop_assert!(result.is_ok(), "{:?}", result);
    }
}
