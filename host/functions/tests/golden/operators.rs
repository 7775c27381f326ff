//! Every numeric operator on every pair of its interesting operands, and every load and store at
//! unaligned addresses: one exported function each, which returns a hash of all results.
//!
//! Operands come from memory, so that the compiler cannot compute results itself; results are
//! hashed by their bits, so that each NaN shows.

use std::fmt::Write;

use crate::Case;
use crate::guest::wasm;

/// A list of operands in memory, 8 bytes each.
struct List {
    name: &'static str,
    ty: &'static str,
    bits: &'static [u64],
}

const LISTS: &[List] = &[
    List { name: "i32", ty: "i32", bits: I32 },
    // Divisors, and what can be divided by -1.
    List {
        name: "i32-not-0",
        ty: "i32",
        bits: &[1, 2, 3, 7, 0xffff_ffff, 0x8000_0000, 0x7fff_ffff],
    },
    List {
        name: "i32-not-min",
        ty: "i32",
        bits: &[0, 1, 2, 0x8000_0001, 0x7fff_ffff, 0xffff_ffff],
    },
    List { name: "i64", ty: "i64", bits: I64 },
    List {
        name: "i64-not-0",
        ty: "i64",
        bits: &[1, 2, 3, 7, u64::MAX, 1 << 63, (1 << 63) - 1, 0x1_0000_0000],
    },
    List {
        name: "i64-not-min",
        ty: "i64",
        bits: &[0, 1, 2, (1 << 63) + 1, (1 << 63) - 1, u64::MAX],
    },
    List { name: "f32", ty: "f32", bits: F32 },
    List { name: "f64", ty: "f64", bits: F64 },
    // Floats that fit: 0, -0, 1.9, the smallest denormal, and the outermost ones.
    List {
        name: "f32-s32",
        ty: "f32",
        bits: &[0, 1 << 31, 0x3ff3_3333, 1, 0x4eff_ffff, 0xcf00_0000],
    },
    List {
        name: "f32-u32",
        ty: "f32",
        bits: &[0, 1 << 31, 0x3ff3_3333, 1, 0x4f7f_ffff, 0xbf7f_ffff],
    },
    List {
        name: "f32-s64",
        ty: "f32",
        bits: &[0, 1 << 31, 0x3ff3_3333, 1, 0x5eff_ffff, 0xdf00_0000],
    },
    List {
        name: "f32-u64",
        ty: "f32",
        bits: &[0, 1 << 31, 0x3ff3_3333, 1, 0x5f7f_ffff, 0xbf7f_ffff],
    },
    List {
        name: "f64-s32",
        ty: "f64",
        bits: &[0, 1 << 63, 0x3ffe_6666_6666_6666, 1, 0x41df_ffff_ffff_ffff, 0xc1e0_0000_001f_ffff],
    },
    List {
        name: "f64-u32",
        ty: "f64",
        bits: &[0, 1 << 63, 0x3ffe_6666_6666_6666, 1, 0x41ef_ffff_ffff_ffff, 0xbfef_ffff_ffff_ffff],
    },
    List {
        name: "f64-s64",
        ty: "f64",
        bits: &[0, 1 << 63, 0x3ffe_6666_6666_6666, 1, 0x43df_ffff_ffff_ffff, 0xc3e0_0000_0000_0000],
    },
    List {
        name: "f64-u64",
        ty: "f64",
        bits: &[0, 1 << 63, 0x3ffe_6666_6666_6666, 1, 0x43ef_ffff_ffff_ffff, 0xbfef_ffff_ffff_ffff],
    },
];

const I32: &[u64] = &[
    0,
    1,
    2,
    31,
    32,
    33,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0xffff,
    0x1234_5678,
    0x7fff_ffff,
    0x8000_0000,
    0x8000_0001,
    0xffff_fffe,
    0xffff_ffff,
];

const I64: &[u64] = &[
    0,
    1,
    63,
    64,
    65,
    0x80,
    0xff,
    0x8000,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x1234_5678_9abc_def0,
    0x20_0000_0000_0001,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0x8000_0000_0000_0001,
    0xffff_ffff_0000_0000,
    u64::MAX,
];

/// Zeroes, ones, halves (for rounding), denormals, the smallest normal, large ones, infinities,
/// and NaNs: canonical, negative, with a payload, signalling.
const F32: &[u64] = &[
    0,
    0x8000_0000,
    0x3f80_0000,
    0xbf80_0000,
    0x3f00_0000,
    0xbf00_0000,
    0x3fc0_0000,
    0x4020_0000,
    0xc060_0000,
    0x3dcc_cccd,
    1,
    0x8000_0001,
    0x007f_ffff,
    0x0080_0000,
    0x4b00_0001,
    0x4f00_0000,
    0xdf00_0000,
    0x7f7f_ffff,
    0xff7f_ffff,
    0x7f80_0000,
    0xff80_0000,
    0x7fc0_0000,
    0xffc0_0000,
    0x7fc1_2345,
    0x7f80_0001,
    0xffa5_a5a5,
];

const F64: &[u64] = &[
    0,
    1 << 63,
    0x3ff0_0000_0000_0000,
    0xbff0_0000_0000_0000,
    0x3fe0_0000_0000_0000,
    0xbfe0_0000_0000_0000,
    0x3ff8_0000_0000_0000,
    0x4004_0000_0000_0000,
    0xc00c_0000_0000_0000,
    0x3fb9_9999_9999_999a,
    1,
    0x8000_0000_0000_0001,
    0x000f_ffff_ffff_ffff,
    0x0010_0000_0000_0000,
    0x36a0_0000_0000_0000,
    0x3810_0000_0000_0000,
    0x4330_0000_0000_0001,
    0x41e0_0000_0000_0000,
    0xc3e0_0000_0000_0000,
    0x47ef_ffff_f000_0000,
    0x7fef_ffff_ffff_ffff,
    0x7ff0_0000_0000_0000,
    0xfff0_0000_0000_0000,
    0x7ff8_0000_0000_0000,
    0xfff8_0000_0000_0000,
    0x7ff8_1234_5678_9abc,
    0x7ff0_0000_0000_0001,
    0xfff5_a5a5_a5a5_a5a5,
];

/// Lists of the operands, type of the result, operators.
const OPERATORS: &[(&str, &str, &str)] = &[
    ("i32", "i32", "clz ctz popcnt eqz extend8_s extend16_s"),
    ("i64", "i64", "clz ctz popcnt extend8_s extend16_s extend32_s"),
    ("i64", "i32", "i64.eqz i32.wrap_i64"),
    ("i32 i32", "i32", "add sub mul and or xor shl shr_s shr_u rotl rotr"),
    ("i32 i32", "i32", "eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u"),
    ("i32 i32-not-0", "i32", "div_u rem_u rem_s"),
    ("i32-not-min i32-not-0", "i32", "div_s"),
    ("i64 i64", "i64", "add sub mul and or xor shl shr_s shr_u rotl rotr"),
    ("i64 i64", "i32", "i64.eq i64.ne i64.lt_s i64.lt_u i64.gt_s i64.gt_u"),
    ("i64 i64", "i32", "i64.le_s i64.le_u i64.ge_s i64.ge_u"),
    ("i64 i64-not-0", "i64", "div_u rem_u rem_s"),
    ("i64-not-min i64-not-0", "i64", "div_s"),
    ("f32", "f32", "abs neg ceil floor trunc nearest sqrt"),
    ("f32 f32", "f32", "add sub mul div min max copysign"),
    ("f32 f32", "i32", "f32.eq f32.ne f32.lt f32.gt f32.le f32.ge"),
    ("f64", "f64", "abs neg ceil floor trunc nearest sqrt"),
    ("f64 f64", "f64", "add sub mul div min max copysign"),
    ("f64 f64", "i32", "f64.eq f64.ne f64.lt f64.gt f64.le f64.ge"),
    ("i32", "i64", "extend_i32_s extend_i32_u"),
    ("i32", "f32", "convert_i32_s convert_i32_u reinterpret_i32"),
    ("i64", "f32", "convert_i64_s convert_i64_u"),
    ("i32", "f64", "convert_i32_s convert_i32_u"),
    ("i64", "f64", "convert_i64_s convert_i64_u reinterpret_i64"),
    ("f64", "f32", "demote_f64"),
    ("f32", "f64", "promote_f32"),
    ("f32", "i32", "reinterpret_f32 trunc_sat_f32_s trunc_sat_f32_u"),
    ("f64", "i32", "trunc_sat_f64_s trunc_sat_f64_u"),
    ("f32", "i64", "trunc_sat_f32_s trunc_sat_f32_u"),
    ("f64", "i64", "reinterpret_f64 trunc_sat_f64_s trunc_sat_f64_u"),
    ("f32-s32", "i32", "trunc_f32_s"),
    ("f32-u32", "i32", "trunc_f32_u"),
    ("f64-s32", "i32", "trunc_f64_s"),
    ("f64-u32", "i32", "trunc_f64_u"),
    ("f32-s64", "i64", "trunc_f32_s"),
    ("f32-u64", "i64", "trunc_f32_u"),
    ("f64-s64", "i64", "trunc_f64_s"),
    ("f64-u64", "i64", "trunc_f64_u"),
];

const LOADS: &str = "i32.load i64.load f32.load f64.load i32.load8_s i32.load8_u i32.load16_s \
    i32.load16_u i64.load8_s i64.load8_u i64.load16_s i64.load16_u i64.load32_s i64.load32_u";

const STORES: &str = "i32.store i64.store f32.store f64.store i32.store8 i32.store16 i64.store8 i64.store16 i64.store32";

/// Bytes of memory that each list has.
const LIST_BYTES: usize = 256;

/// Behind the lists: bytes to load, and a place to store to.
const PLACE: usize = LISTS.len() * LIST_BYTES;

/// The bits of an expression as an `i64`.
pub fn bits(ty: &str, expression: &str) -> String {
    match ty {
        "i32" => format!("(i64.extend_i32_u {expression})"),
        "i64" => expression.to_string(),
        "f32" => format!("(i64.extend_i32_u (i32.reinterpret_f32 {expression}))"),
        "f64" => format!("(i64.reinterpret_f64 {expression})"),
        _ => panic!("{ty} is no type"),
    }
}

/// Takes an `i64` into the hash in local `$h`.
pub fn mix(expression: &str) -> String {
    format!(
        "(local.set $h (i64.mul (i64.xor (local.get $h) {expression}) (i64.const 0x100000001b3)))"
    )
}

fn list(name: &str) -> (usize, &'static List) {
    let at = LISTS.iter().position(|list| list.name == name).expect("a list of that name");
    (at * LIST_BYTES, &LISTS[at])
}

/// A loop of `$local` over `0, 8, ... 8 * (count - 1)`.
fn each(local: &str, count: usize, body: &str) -> String {
    format!(
        "(local.set {local} (i32.const 0))
        (loop {body}
            (local.set {local} (i32.add (local.get {local}) (i32.const 8)))
            (br_if 0 (i32.lt_u (local.get {local}) (i32.const {}))))",
        count * 8
    )
}

fn operator(name: &str, operands: &str, result: &str) -> String {
    let lists: Vec<_> = operands.split(' ').map(list).collect();
    let loads = lists.iter().zip(["$a", "$b"]).map(|((base, list), local)| {
        format!("({}.load offset={base} (local.get {local}))", list.ty)
    });
    let loads = loads.collect::<Vec<_>>().join(" ");
    let mut body = mix(&bits(result, &format!("({name} {loads})")));
    for ((_, list), local) in lists.iter().zip(["$a", "$b"]).rev() {
        body = each(local, list.bits.len(), &body);
    }
    body
}

/// A name as the component model spells names.
fn export(operator: &str) -> String {
    operator.replace(['.', '_'], "-")
}

pub fn add(cases: &mut Vec<Case>) {
    let mut functions: Vec<(String, String)> = vec![];
    for (operands, result, names) in OPERATORS {
        for name in names.split(' ') {
            let name = if name.contains('.') { name.into() } else { format!("{result}.{name}") };
            let body = operator(&name, operands, result);
            functions.push((name, body));
        }
    }
    for name in LOADS.split_whitespace() {
        let load =
            format!("({name} offset={} (i32.shr_u (local.get $a) (i32.const 3)))", PLACE + 1);
        functions.push((name.into(), each("$a", 24, &mix(&bits(&name[..3], &load)))));
    }
    for name in STORES.split_whitespace() {
        let ty = &name[..3];
        let (base, list) = list(ty);
        let address = "(i32.shr_u (local.get $a) (i32.const 3))";
        let value = format!("({ty}.load offset={base} (local.get $a))");
        let store = format!("({name} offset={} {address} {value})", PLACE + 65);
        let load = format!("(i64.load offset={} {address})", PLACE + 62);
        functions
            .push((name.into(), each("$a", list.bits.len(), &format!("{store} {}", mix(&load)))));
    }
    let component = component(&functions);
    for (name, _) in functions {
        let function = export(&name);
        let case = Case::new(format!("operator {name}"), component.clone());
        cases.push(Case { function, ..case });
    }
}

fn component(functions: &[(String, String)]) -> bytes::Bytes {
    let (mut core, mut lifts) = (String::new(), String::new());
    let text = "writing to a string cannot fail";
    for (at, list) in LISTS.iter().enumerate() {
        assert!(list.bits.len() * 8 <= LIST_BYTES);
        let bytes = list.bits.iter().flat_map(|bits| bits.to_le_bytes());
        let data: String = bytes.map(|byte| format!("\\{byte:02x}")).collect();
        writeln!(core, r#"(data (i32.const {}) "{data}")"#, at * LIST_BYTES).expect(text);
    }
    let data: String = (0..64).map(|at| format!("\\{:02x}", (at * 73 + 5) % 256)).collect();
    writeln!(core, r#"(data (i32.const {PLACE}) "{data}")"#).expect(text);
    for (name, body) in functions {
        let locals = "(local $a i32) (local $b i32) (local $h i64)";
        let function = format!("(result i64) {locals} {body} (local.get $h)");
        let name = export(name);
        writeln!(core, r#"(func (export "{name}") {function})"#).expect(text);
        let lift = format!(r#"(canon lift (core func $i "{name}"))"#);
        writeln!(lifts, r#"(func (export "{name}") (result u64) {lift})"#).expect(text);
    }
    wasm(&format!(
        "(component (core module $m (memory 1) {core}) (core instance $i (instantiate $m)) {lifts})"
    ))
}
