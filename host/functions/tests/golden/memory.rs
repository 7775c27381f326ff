//! The price of memory, besides that of the instructions that use it, and the price of making an instance of a
//! large component.

use crate::Case;
use crate::guest::{padded, plain, typed};

/// Guests by name: 32 pages are free, of the 33rd each costs.
const SMALL: [(&str, &str); 6] = [
    ("32 pages at the start", r#"(memory 32) (func (export "run"))"#),
    ("33 pages at the start", r#"(memory 33) (func (export "run"))"#),
    (
        "grown to 32 pages",
        r#"(memory 1) (func (export "run") (drop (memory.grow (i32.const 31))))"#,
    ),
    (
        "grown to 33 pages",
        r#"(memory 1) (func (export "run") (drop (memory.grow (i32.const 32))))"#,
    ),
    (
        "grown beyond its own maximum",
        r#"(memory 33 34) (func (export "run") (drop (memory.grow (i32.const 2))))"#,
    ),
    (
        "grown in two steps",
        r#"(memory 33) (func (export "run") (drop (memory.grow (i32.const 1))) (drop (memory.grow (i32.const 2))))"#,
    ),
];

const LARGE: [(&str, &str); 7] = [
    ("without memory", ""),
    ("with 33 pages", "(memory 33)"),
    (
        "with 80 bytes of data",
        r#"(memory 1) (data (i32.const 0) "0123456789012345678901234567890123456789") (data (i32.const 65496) "0123456789012345678901234567890123456789")"#,
    ),
    ("with a segment that is not used", r#"(memory 1) (data "01234567")"#),
    ("with three elements", "(table 9 funcref) (elem (i32.const 1) func 0 0 0)"),
    (
        "with elements that are expressions",
        "(table 9 funcref) (elem (i32.const 1) funcref (ref.null func) (ref.func 0))",
    ),
    ("with an empty segment of elements", "(table 9 funcref) (elem (i32.const 1) func)"),
];

pub fn add(cases: &mut Vec<Case>) {
    for (name, body) in SMALL {
        cases.push(Case::new(format!("memory {name}"), plain(body)));
    }
    for (name, body) in LARGE {
        let component = plain(&format!(r#"(func (export "run")) {body}"#));
        cases.push(Case::new(format!("large {name}"), padded(&component)));
    }
    // The last growth can not always be paid for: 255 pages, of which 224 cost, after the earlier spending.
    let spent = r#"(memory (export "memory") 1)
        (func (export "run") (param $left i32) (result i32)
            (loop (if (local.get $left) (then (local.set $left (i32.sub (local.get $left) (i32.const 1))) (br 1))))
            (memory.grow (i32.const 255)))"#;
    let case = Case::new(
        "memory paid for at the end",
        typed(spent, r#"(param "n" u32) (result s32)"#, ""),
    );
    cases.push(Case { ask: crate::Ask::Boundary(200_000_000), ..case });
}
