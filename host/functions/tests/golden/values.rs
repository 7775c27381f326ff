//! Arguments and results of every type: through memory, as elements of a list that comes back, and
//! flat, as parameters whose bits are hashed.

use aspen_core::val::Val;
use bytes::Bytes;

use crate::Case;
use crate::guest::wasm;
use crate::operators::{bits, mix};

/// Types that must have a name before they can be used, in the order of their use.
const TYPES: &str = r#"
    (type $enum' (enum "red" "green" "blue")) (export $enum "color" (type $enum'))
    (type $few' (flags "a" "b" "c")) (export $few "few" (type $few'))
    (type $more' (flags "f0" "f1" "f2" "f3" "f4" "f5" "f6" "f7" "f8")) (export $more "more" (type $more'))
    (type $many' (flags "g0" "g1" "g2" "g3" "g4" "g5" "g6" "g7" "g8" "g9" "g10" "g11" "g12" "g13"
        "g14" "g15" "g16")) (export $many "many" (type $many'))
    (type $point' (record (field "x" u8) (field "y" s64) (field "z" f32))) (export $point "point" (type $point'))
    (type $shape' (variant (case "none") (case "circle" f64) (case "line" (tuple u8 u16)) (case "text" string)))
    (export $shape "shape" (type $shape'))
    (type $deep' (record (field "points" (list $point)) (field "shape" (option $shape))
        (field "colors" (list (tuple $enum $few)))))
    (export $deep "deep" (type $deep'))"#;

/// Memory, a realloc that never frees, and a hash of memory.
const CORE: &str = r#"(memory (export "m") 4) (global $next (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.sub (local.get 2) (i32.const 1)))
            (i32.sub (i32.const 0) (local.get 2))))
        (global.set $next (i32.add (local.get $at) (local.get 3)))
        (local.get $at))"#;

fn component(core: &str, ty: &str) -> Bytes {
    wasm(&format!(
        r#"(component {TYPES}
            (core module $m {CORE} {core})
            (core instance $i (instantiate $m))
            (func (export "run") {ty} (canon lift (core func $i "run")
                (memory (core memory $i "m")) (realloc (core func $i "realloc")))))"#
    ))
}

/// `func(list<T>) -> list<T>` that returns its argument.
fn echo(ty: &str) -> Bytes {
    let core = r#"(func (export "run") (param i32 i32) (result i32)
        (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1)) (i32.const 0))"#;
    component(core, &format!(r#"(param "a" (list {ty})) (result (list {ty}))"#))
}

/// A function of one parameter that hashes the core values it is made of.
fn flat(ty: &str, core_types: &str) -> Bytes {
    let types = core_types.split_whitespace().enumerate();
    let mixes: String =
        types.map(|(at, ty)| mix(&bits(ty, &format!("(local.get {at})")))).collect();
    let core = format!(
        r#"(func (export "run") (param {core_types}) (result i64) (local $h i64) {mixes} (local.get $h))"#
    );
    component(&core, &format!(r#"(param "a" {ty}) (result u64)"#))
}

fn some(val: Val) -> Option<Box<Val>> {
    Some(Box::new(val))
}

fn flags(names: &[&str]) -> Val {
    Val::Flags(names.iter().map(ToString::to_string).collect())
}

fn point(x: u8, y: i64, z: u32) -> Val {
    let field = |name: &str, val| (name.to_string(), val);
    Val::Record(vec![field("x", Val::U8(x)), field("y", Val::S64(y)), field("z", Val::F32(z))])
}

fn shape(case: &str, payload: Option<Box<Val>>) -> Val {
    Val::Variant(case.into(), payload)
}

fn deep() -> Val {
    let pair = Val::Tuple(vec![Val::Enum("blue".into()), flags(&["b"])]);
    let option = Val::Option(some(shape("text", some("ü".into()))));
    let points = Val::List(vec![point(1, -2, 3), point(4, 5, 0x7fc0_0001)]);
    let field = |name: &str, val| (name.to_string(), val);
    Val::Record(vec![
        field("points", points),
        field("shape", option),
        field("colors", Val::List(vec![pair])),
    ])
}

/// Types, their flattened forms, and values.
fn samples() -> Vec<(&'static str, &'static str, Vec<Val>)> {
    let result = |val: Result<Option<Box<Val>>, Option<Box<Val>>>| Val::Result(val);
    let lines = Val::Tuple(vec![Val::U8(200), Val::U16(60_000)]);
    vec![
        ("bool", "i32", vec![Val::Bool(true), Val::Bool(false)]),
        ("s8", "i32", vec![Val::S8(-128), Val::S8(127)]),
        ("u8", "i32", vec![Val::U8(255)]),
        ("s16", "i32", vec![Val::S16(-32_768), Val::S16(1)]),
        ("u16", "i32", vec![Val::U16(65_535), Val::U16(0)]),
        ("s32", "i32", vec![Val::S32(i32::MIN), Val::S32(i32::MAX)]),
        ("u32", "i32", vec![Val::U32(u32::MAX)]),
        ("s64", "i64", vec![Val::S64(i64::MIN), Val::S64(-1)]),
        ("u64", "i64", vec![Val::U64(u64::MAX)]),
        ("f32", "f32", vec![Val::F32(0x7f80_0001), Val::F32(0x8000_0000), Val::F32(1)]),
        ("f64", "f64", vec![Val::F64(0xfff8_0000_0000_1234), Val::F64(1 << 63), Val::F64(1)]),
        ("char", "i32", vec![Val::Char('\0'), Val::Char('\u{d7ff}'), Val::Char('\u{10ffff}')]),
        ("string", "i32 i32", vec!["".into(), "text".into(), "\0ü\u{10ffff}".into()]),
        ("(list u8)", "i32 i32", vec![Val::Bytes(Bytes::from_static(b"bytes")), Val::List(vec![])]),
        ("(list u16)", "i32 i32", vec![Val::List(vec![Val::U16(1), Val::U16(2)])]),
        ("$enum", "i32", vec![Val::Enum("red".into()), Val::Enum("blue".into())]),
        ("$few", "i32", vec![flags(&[]), flags(&["a", "c"])]),
        ("$more", "i32", vec![flags(&["f0", "f8"])]),
        ("$many", "i32", vec![flags(&["g1", "g16"])]),
        ("(option u8)", "i32 i32", vec![Val::Option(None), Val::Option(some(Val::U8(7)))]),
        ("(option f32)", "i32 f32", vec![Val::Option(some(Val::F32(0xffff_ffff)))]),
        ("(result)", "i32", vec![result(Ok(None)), result(Err(None))]),
        (
            "(result u64 (error f32))",
            "i32 i64",
            vec![result(Ok(some(Val::U64(u64::MAX)))), result(Err(some(Val::F32(0xbf80_0000))))],
        ),
        (
            "(tuple u8 f64 string)",
            "i32 f64 i32 i32",
            vec![Val::Tuple(vec![Val::U8(1), Val::F64(2), "3".into()])],
        ),
        ("$point", "i32 i64 f32", vec![point(1, -1, 0x7f80_0001)]),
        (
            "$shape",
            "i32 i64 i32",
            vec![
                shape("none", None),
                shape("circle", some(Val::F64(0x7ff0_0000_0000_0001))),
                shape("line", some(lines)),
                shape("text", some("längst".into())),
            ],
        ),
        ("$deep", "i32 i32 i32 i32 i64 i32 i32 i32", vec![deep()]),
    ]
}

/// A tuple of 20 numbers: more than parameters, so it goes through memory.
fn spilled() -> Case {
    let core = format!(
        r#"(func (export "run") (param i32) (result i64) (local $h i64) {} {} (local.get $h))"#,
        mix("(i64.load (local.get 0))"),
        mix("(i64.load offset=152 (local.get 0))")
    );
    let ty = format!(r#"(param "a" (tuple {})) (result u64)"#, "u64 ".repeat(20));
    let vals = Val::Tuple((0..20).map(|at| Val::U64(at << 40)).collect());
    Case::new("flat tuple of 20", component(&core, &ty)).with(vec![vals])
}

pub fn add(cases: &mut Vec<Case>) {
    for (ty, core_types, vals) in samples() {
        let name = ty.trim_start_matches('$');
        // `list<u8>` is one value, whatever its form.
        let all = match vals
            .iter()
            .map(|val| if let Val::U8(byte) = val { Some(*byte) } else { None })
            .collect()
        {
            Some(bytes) => Val::Bytes(Bytes::from(Vec::<u8>::clone(&bytes))),
            None => Val::List(vals.clone()),
        };
        cases.push(Case::new(format!("echo {name}"), echo(ty)).with(vec![all]));
        let component = flat(ty, core_types);
        for (at, val) in vals.into_iter().enumerate() {
            cases.push(Case::new(format!("flat {name} {at}"), component.clone()).with(vec![val]));
        }
    }
    cases.push(spilled());
    let long = vec![Val::Bytes(Bytes::from(vec![7; 200_000]))];
    cases.push(Case::new("echo 200,000 bytes", echo("u8")).with(long));
    let strings = (0..2000).map(|at: u64| Val::from(at.to_string())).collect();
    cases.push(Case::new("echo 2,000 strings", echo("string")).with(vec![Val::List(strings)]));
    let wrong: [(&str, &str, Val); 5] = [
        ("a number too wide", "u8", Val::U16(1)),
        ("an unknown case", "$enum", Val::Enum("pink".into())),
        ("flags in another order", "$few", flags(&["c", "a"])),
        ("a payload that is none", "$shape", shape("none", some(Val::U8(1)))),
        ("a record with another name", "$point", Val::Record(vec![("w".into(), Val::U8(1))])),
    ];
    for (name, ty, val) in wrong {
        let case = Case::new(format!("refused {name}"), echo(ty));
        cases.push(case.with(vec![Val::List(vec![val])]));
    }
    raw(cases);
}

/// `func(list<u8>) -> result<list<u8>, string>`, which goes a way of its own.
fn raw(cases: &mut Vec<Case>) {
    let core = r#"(func (export "run") (param i32 i32) (result i32)
        (i32.store (i32.const 0) (i32.eqz (local.get 1)))
        (i32.store (i32.const 4) (local.get 0)) (i32.store (i32.const 8) (local.get 1)) (i32.const 0))"#;
    let ty = r#"(param "a" (list u8)) (result (result (list u8) (error string)))"#;
    let component = component(core, ty);
    for (name, bytes) in [("bytes", vec![1; 1000]), ("no bytes", vec![])] {
        let args = vec![Val::Bytes(bytes.into())];
        cases.push(Case::new(format!("raw {name}"), component.clone()).with(args));
    }
    let args = vec![Val::List(vec![Val::U8(1)])];
    cases.push(Case::new("raw list", component).with(args));
}
