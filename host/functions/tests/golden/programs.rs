//! Programs made by chance from fixed seeds: the operators in each other's company, over locals,
//! memory, branches, loops and calls, so that optimisers have something to do.

use std::fmt::Write;

use crate::Case;
use crate::guest::typed;
use crate::operators::{bits, mix};

const PROGRAMS: u64 = 96;

/// Statements of one function; two levels of blocks inside.
const STATEMENTS: usize = 24;

const TYPES: [&str; 4] = ["i32", "i64", "f32", "f64"];

const INTEGER_BINARY: [&str; 15] = [
    "add", "sub", "mul", "and", "or", "xor", "shl", "shr_s", "shr_u", "rotl", "rotr", "add", "sub",
    "mul", "xor",
];
const INTEGER_UNARY: [&str; 5] = ["clz", "ctz", "popcnt", "extend8_s", "extend16_s"];
const COMPARE: [&str; 6] = ["eq", "ne", "lt_s", "lt_u", "ge_s", "gt_u"];
const FLOAT_BINARY: [&str; 7] = ["add", "sub", "mul", "div", "min", "max", "copysign"];
const FLOAT_UNARY: [&str; 7] = ["abs", "neg", "ceil", "floor", "trunc", "nearest", "sqrt"];
const FLOAT_COMPARE: [&str; 6] = ["eq", "ne", "lt", "gt", "le", "ge"];

/// Operators from one type to another.
const CONVERT: [(&str, &str); 24] = [
    ("i32.wrap_i64", "i64"),
    ("i32.eqz", "i32"),
    ("i32.reinterpret_f32", "f32"),
    ("i32.trunc_sat_f32_s", "f32"),
    ("i32.trunc_sat_f64_u", "f64"),
    ("i64.extend_i32_s", "i32"),
    ("i64.extend_i32_u", "i32"),
    ("i64.reinterpret_f64", "f64"),
    ("i64.trunc_sat_f32_u", "f32"),
    ("i64.trunc_sat_f64_s", "f64"),
    ("i64.extend32_s", "i64"),
    ("f32.convert_i32_s", "i32"),
    ("f32.convert_i32_u", "i32"),
    ("f32.convert_i64_s", "i64"),
    ("f32.convert_i64_u", "i64"),
    ("f32.demote_f64", "f64"),
    ("f32.reinterpret_i32", "i32"),
    ("f64.convert_i32_s", "i32"),
    ("f64.convert_i32_u", "i32"),
    ("f64.convert_i64_s", "i64"),
    ("f64.convert_i64_u", "i64"),
    ("f64.promote_f32", "f32"),
    ("f64.reinterpret_i64", "i64"),
    ("f64.reinterpret_i64", "i64"),
];

/// Xorshift: the same everywhere, for ever.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 20) % limit as u64) as usize
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn constant(&mut self, ty: &str) -> String {
        let whole = self.one(&["0", "1", "-1", "2", "7", "31", "255", "-32768", "0x7fffffff"]);
        let float =
            self.one(&["0", "-0", "1", "-1.5", "inf", "nan", "-nan:0x2001", "0x1p-140", "1e30"]);
        let text = if ty.starts_with('i') { whole } else { float };
        format!("({ty}.const {text})")
    }

    /// An address of 8 bytes in the first 4 KiB.
    fn address(&mut self, depth: usize) -> String {
        format!("(i32.and {} (i32.const 4088))", self.expression("i32", depth))
    }

    fn expression(&mut self, ty: &str, depth: usize) -> String {
        let is_float = ty.starts_with('f');
        if depth == 0 || self.below(5) == 0 {
            return match self.below(4) {
                0 => self.constant(ty),
                1 => format!("({ty}.load (i32.const {}))", self.below(512) * 8),
                _ => format!("(local.get ${ty}{})", self.below(3)),
            };
        }
        let below = depth - 1;
        match self.below(12) {
            0 => format!("({ty}.load {})", self.address(below)),
            1 => {
                let (yes, no) = (self.expression(ty, below), self.expression(ty, below));
                format!("(select {yes} {no} {})", self.expression("i32", below))
            }
            2 => {
                let (yes, no) = (self.expression(ty, below), self.expression(ty, below));
                let condition = self.expression("i32", below);
                format!("(if (result {ty}) {condition} (then {yes}) (else {no}))")
            }
            3 => {
                let local = self.below(3);
                format!("(local.tee ${ty}{local} {})", self.expression(ty, below))
            }
            4 | 5 => {
                let all = CONVERT.iter().filter(|(name, _)| name.starts_with(ty));
                let (name, from) = self.one(&all.copied().collect::<Vec<_>>());
                format!("({name} {})", self.expression(from, below))
            }
            6 if ty == "i32" => {
                let of = self.one(&TYPES);
                let all = if of.starts_with('f') { &FLOAT_COMPARE } else { &COMPARE };
                let name = self.one(all);
                let (a, b) = (self.expression(of, below), self.expression(of, below));
                format!("({of}.{name} {a} {b})")
            }
            6 if !is_float => {
                let name = self.one(&["div_u", "rem_u", "rem_s"]);
                let (a, b) = (self.expression(ty, below), self.expression(ty, below));
                format!("({ty}.{name} {a} ({ty}.or {b} ({ty}.const 1)))")
            }
            7 | 8 => {
                let name = self.one(if is_float { &FLOAT_UNARY[..] } else { &INTEGER_UNARY });
                format!("({ty}.{name} {})", self.expression(ty, below))
            }
            _ => {
                let name = self.one(if is_float { &FLOAT_BINARY[..] } else { &INTEGER_BINARY });
                let (a, b) = (self.expression(ty, below), self.expression(ty, below));
                format!("({ty}.{name} {a} {b})")
            }
        }
    }

    /// A statement; `nesting` names the counters of loops, `can_call` lets it call `$help`.
    fn statement(&mut self, nesting: usize, can_call: bool) -> String {
        let ty = self.one(&TYPES);
        match self.below(10) {
            0 if nesting < 2 => {
                let body = self.statements(4, nesting + 1, can_call);
                let counter = format!("$n{nesting}");
                let times = self.below(20) + 1;
                format!(
                    "(local.set {counter} (i32.const {times})) (loop {body}
                        (local.set {counter} (i32.sub (local.get {counter}) (i32.const 1)))
                        (br_if 0 (local.get {counter})))"
                )
            }
            1 if nesting < 2 => {
                let condition = self.expression("i32", 2);
                let (yes, no) = (
                    self.statements(3, nesting + 1, can_call),
                    self.statements(2, nesting + 1, can_call),
                );
                format!("(if {condition} (then {yes}) (else {no}))")
            }
            2 => {
                let condition = self.expression("i32", 2);
                let (before, after) = (self.plain(), self.plain());
                format!("(block {before} (br_if 0 {condition}) {after})")
            }
            3 if can_call => {
                let args = TYPES.map(|ty| self.expression(ty, 2)).join(" ");
                format!("(local.set $i640 (call $help {args}))")
            }
            4 | 5 => {
                let address = self.address(2);
                format!("({ty}.store {address} {})", self.expression(ty, 3))
            }
            6 => {
                let (to, from) = (self.below(512) * 8, self.below(512) * 8);
                format!("(memory.copy (i32.const {to}) (i32.const {from}) (i32.const 40))")
            }
            _ => self.plain(),
        }
    }

    fn plain(&mut self) -> String {
        let ty = self.one(&TYPES);
        let local = self.below(3);
        format!("(local.set ${ty}{local} {})", self.expression(ty, 4))
    }

    fn statements(&mut self, count: usize, nesting: usize, can_call: bool) -> String {
        (0..count).map(|_| self.statement(nesting, can_call)).collect::<Vec<_>>().join("\n")
    }
}

/// Locals of each type that are no parameters, and the counters of loops.
fn locals(from: usize) -> String {
    let mut text = String::from("(local $n0 i32) (local $n1 i32) (local $h i64)");
    for ty in TYPES {
        for at in from..3 {
            write!(text, " (local ${ty}{at} {ty})").expect("writing to a string cannot fail");
        }
    }
    text
}

/// A hash of all locals.
fn all_locals() -> String {
    let each = |ty: &&'static str| {
        let ty = *ty;
        (0..3).map(move |at| mix(&bits(ty, &format!("(local.get ${ty}{at})"))))
    };
    TYPES.iter().flat_map(each).collect()
}

fn program(seed: u64) -> bytes::Bytes {
    let mut chance = Chance((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let data: String = (0..4096).map(|_| format!("\\{:02x}", chance.below(256))).collect();
    let help = chance.statements(STATEMENTS / 4, 1, false);
    let run = chance.statements(STATEMENTS, 0, true);
    let params = TYPES.map(|ty| format!("(param ${ty}0 {ty})")).join(" ");
    let core = format!(
        r#"(memory 1) (data (i32.const 0) "{data}")
        (func $help {params} (result i64) {} {help} {} (local.get $h))
        (func (export "run") (result i64) {} {run} {}
            (local.set $n0 (i32.const 4096))
            (loop
                (local.set $n0 (i32.sub (local.get $n0) (i32.const 8)))
                {}
                (br_if 0 (local.get $n0)))
            (local.get $h))"#,
        locals(1),
        all_locals(),
        locals(0),
        all_locals(),
        mix("(i64.load (local.get $n0))"),
    );
    typed(&core, "(result u64)", "")
}

pub fn add(cases: &mut Vec<Case>) {
    for seed in 0..PROGRAMS {
        cases.push(Case::new(format!("program {seed:02}"), program(seed)));
    }
}
