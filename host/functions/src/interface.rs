//! The interfaces of `aspen:function`: their names, and the types of their functions.
//!
//! The upload check compares a component's imports with these texts, and `host/imports.rs` defines
//! functions of these names. Must stay in step with `wit/aspen.wit`, which defines each function.

pub(crate) const STORE: &str = "aspen:function/store@0.1.0";
pub(crate) const CONTEXT: &str = "aspen:function/context@0.1.0";
pub(crate) const TYPES: &str = "aspen:function/types@0.1.0";

macro_rules! versioned {
    () => {
        "record { value: list<u8>, version: u64, create-revision: u64, mod-revision: u64 }"
    };
}

/// Returns the functions of an interface in the form that the upload check compares; `None` if Aspen does
/// not offer the interface.
pub(crate) fn offered(interface: &str) -> Option<&'static [&'static str]> {
    Some(match interface {
        STORE => &[
            concat!("get: func(key: list<u8>) -> option<", versioned!(), ">"),
            concat!("get-many: func(keys: list<list<u8>>) -> list<option<", versioned!(), ">>"),
            "exists: func(key: list<u8>) -> bool",
            concat!(
                "scan: func(start: list<u8>, end: option<list<u8>>, reverse: bool, limit: u32)",
                " -> record { entries: list<record { key: list<u8>, item: ",
                versioned!(),
                " }>, more: bool }"
            ),
            "put: func(key: list<u8>, value: list<u8>)",
            "delete: func(key: list<u8>) -> bool",
        ],
        CONTEXT => &[
            "revision: func() -> u64",
            "time-ms: func() -> u64",
            "seed: func() -> u64",
            "caller: func() -> list<u8>",
            "log: func(line: string)",
        ],
        TYPES => &[],
        _ => return None,
    })
}
