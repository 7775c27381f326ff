//! Control, memory, tables and globals: the instructions besides the numeric operators.

use crate::Case;
use crate::guest::typed;

const MEMORY: &str = r#"(memory 2 20) (data (i32.const 64) "0123456789abcdef")
    (data $passive "passive segment")
    (table $t 4 40 funcref) (table $u 6 funcref) (elem (table $t) (i32.const 0) func $one $two)
    (elem $later func $two $one $two) (elem declare func $three)
    (type $unary (func (param i64) (result i64)))
    (global $mutable (mut i64) (i64.const 5)) (global $offset i32 (i32.const 60))
    (global $extended i32 (i32.add (i32.const 7) (i32.mul (i32.const 3) (i32.const 5))))
    (func $one (type $unary) (i64.add (local.get 0) (i64.const 1)))
    (func $two (type $unary) (i64.mul (local.get 0) (i64.const 2)))
    (func $three (type $unary) (i64.shl (local.get 0) (i64.const 3)))
    (func $pair (param i64) (result i64 i64) (local.get 0) (i64.xor (local.get 0) (i64.const 9)))"#;

/// Names and bodies; each leaves an `i64`.
const BODIES: &[(&str, &str)] = &[
    ("nothing", "(i64.const 0)"),
    ("nop and drop", "nop nop (drop (i32.const 1)) (i64.const 1)"),
    ("constants", "(drop (f32.const nan:0x200001)) (drop (f64.const -0x1p-1074)) (i64.const -1)"),
    ("block", "(block (result i64) (block (br 0)) (i64.const 2))"),
    ("branches", "(block (result i64) (br_if 0 (i64.const 3) (i32.const 1)) drop (i64.const 4))"),
    ("branch not taken", "(block (result i64) (br_if 0 (i64.const 3) (i32.const 0)))"),
    ("if", "(if (result i64) (i32.const 1) (then (i64.const 5)) (else (i64.const 6)))"),
    ("else", "(if (result i64) (i32.const 0) (then (i64.const 5)) (else nop nop (i64.const 6)))"),
    ("if without else", "(if (i32.const 0) (then (return (i64.const 5)))) (i64.const 7)"),
    ("return", "(return (i64.const 8)) (i64.const 9)"),
    (
        "br_table",
        "(block $c (block $b (block $a (br_table $a $b $c (i32.wrap_i64 (global.get $mutable))))
            (return (i64.const 1))) (return (i64.const 2))) (i64.const 3)",
    ),
    (
        "loop",
        "(loop (local.set 0 (i32.add (local.get 0) (i32.const 1)))
            (br_if 0 (i32.lt_u (local.get 0) (i32.const 1000)))) (i64.extend_i32_u (local.get 0))",
    ),
    ("select", "(select (i64.const 1) (i64.const 2) (i32.const 0))"),
    ("typed select", "(select (result i64) (i64.const 1) (i64.const 2) (i32.const 1))"),
    ("locals", "(local.set 1 (i64.const 4)) (i64.add (local.tee 1 (i64.const 3)) (local.get 1))"),
    (
        "globals",
        "(global.set $mutable (i64.add (global.get $mutable) (i64.const 1)))
        (i64.add (global.get $mutable) (i64.extend_i32_u (global.get $extended)))",
    ),
    ("call", "(call $two (call $one (i64.const 20)))"),
    ("several results", "(call $pair (i64.const 20)) i64.add"),
    ("indirect call", "(call_indirect (type $unary) (i64.const 20) (i32.const 1))"),
    (
        "recursion",
        "(if (result i64) (i32.eqz (global.get $n)) (then (i64.const 0)) (else
            (global.set $n (i32.sub (global.get $n) (i32.const 1)))
            (i64.add (call $run) (i64.const 2))))",
    ),
    ("memory.size", "(i64.extend_i32_u (memory.size))"),
    (
        "memory.grow",
        "(i64.extend_i32_u (i32.add (memory.grow (i32.const 3)) (memory.grow (i32.const 0))))",
    ),
    ("memory.grow refused by its maximum", "(i64.extend_i32_u (memory.grow (i32.const 19)))"),
    ("grown memory is empty", "(drop (memory.grow (i32.const 1))) (i64.load (i32.const 196600))"),
    (
        "memory.fill",
        "(memory.fill (i32.const 1) (i32.const 0x1a5) (i32.const 131)) (i64.load (i32.const 128))",
    ),
    ("memory.fill of nothing", "(memory.fill (i32.const 131072) (i32.const 1) (i32.const 0)) (i64.const 1)"),
    (
        "memory.fill of everything",
        "(memory.fill (i32.const 0) (i32.const 7) (i32.const 131072)) (i64.load (i32.const 131064))",
    ),
    (
        "memory.copy over itself",
        "(memory.copy (i32.const 66) (i32.const 64) (i32.const 14)) (i64.load (i32.const 70))",
    ),
    (
        "memory.copy backwards",
        "(memory.copy (i32.const 64) (i32.const 67) (i32.const 13)) (i64.load (i32.const 66))",
    ),
    (
        "memory.init",
        "(memory.init $passive (i32.const 3) (i32.const 2) (i32.const 9)) (data.drop $passive)
        (memory.init $passive (i32.const 0) (i32.const 0) (i32.const 0)) (i64.load (i32.const 3))",
    ),
    (
        "table.get and set",
        "(table.set $t (i32.const 3) (ref.func $three)) (table.set $t (i32.const 2) (ref.null func))
        (table.set $t (i32.const 1) (table.get $t (i32.const 3)))
        (i64.add (call_indirect $t (type $unary) (i64.const 20) (i32.const 1))
            (i64.extend_i32_u (ref.is_null (table.get $t (i32.const 2)))))",
    ),
    (
        "table.size and grow",
        "(i64.extend_i32_u (i32.add (i32.mul (table.grow $t (ref.func $one) (i32.const 36)) (i32.const 100))
            (i32.add (table.size $t) (table.grow $t (ref.null func) (i32.const 1)))))",
    ),
    (
        "table.fill and copy",
        "(table.fill $u (i32.const 1) (ref.func $three) (i32.const 4))
        (table.copy $u $t (i32.const 0) (i32.const 0) (i32.const 2))
        (table.copy $u $u (i32.const 1) (i32.const 0) (i32.const 3))
        (i64.add (call_indirect $u (type $unary) (i64.const 20) (i32.const 2))
            (call_indirect $u (type $unary) (i64.const 20) (i32.const 4)))",
    ),
    (
        "table.init",
        "(table.init $u $later (i32.const 2) (i32.const 1) (i32.const 2)) (elem.drop $later)
        (table.init $u $later (i32.const 0) (i32.const 0) (i32.const 0))
        (call_indirect $u (type $unary) (i64.const 20) (i32.const 3))",
    ),
    (
        "denormal arithmetic",
        "(i64.reinterpret_f64 (f64.mul (f64.div (f64.const 0x1p-1070) (f64.const 3))
            (f64.sqrt (f64.const 0x1p-1074))))",
    ),
    (
        "NaN through locals and memory",
        "(f32.store (i32.const 0) (f32.neg (f32.const nan:0x200001)))
        (f64.store (i32.const 8) (f64.copysign (f64.const nan:0x4) (f64.const -1)))
        (i64.xor (i64.load (i32.const 0)) (i64.load (i32.const 8)))",
    ),
];

pub fn add(cases: &mut Vec<Case>) {
    for (name, body) in BODIES {
        let core = format!(
            r#"{MEMORY} (global $n (mut i32) (i32.const 100))
            (func $run (export "run") (result i64) (local i32 i64) {body})"#
        );
        cases.push(Case::new(format!("instruction {name}"), typed(&core, "(result u64)", "")));
    }
}
