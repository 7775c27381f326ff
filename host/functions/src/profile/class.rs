//! The two classes of components, and the limits of each.
//!
//! A component of more than 2 MiB is *large*: an interpreter of another language, with the program that
//! the interpreter runs. Large components have limits, an engine and a pool of their own, and few of
//! their calls run at once, so they take nothing from small ones. Promises that the class follows from
//! the length alone, so that every replica finds the same class. The numbers are in `limits.rs`.

use aspen_core::limits::{
    CALL_FUEL_MAX, COMPONENT_BYTES_MAX, GUEST_MEMORY_BYTES_MAX, GUEST_STACK_SLOTS_MAX,
    LARGE_CALL_FUEL_MAX, LARGE_COMPONENT_BYTES_MAX, LARGE_GUEST_MEMORY_BYTES_MAX,
};

use super::limits::{
    BODY_BYTES_MAX, CALLS_AT_ONCE_MAX, CANONICALS_MAX, CORE_INSTANCES_MAX, FUNCTIONS_MAX,
    GLOBALS_MAX, LARGE_BODY_BYTES_MAX, LARGE_CALLS_AT_ONCE_MAX, LARGE_CORE_INSTANCES_MAX,
    LARGE_FUNCTIONS_MAX, LARGE_GLOBALS_MAX, LARGE_IMPORTS_MAX, LARGE_LEAST_SLOTS, LARGE_NESTED_MAX,
    LARGE_NESTING_MAX, LARGE_SHARED_SLOTS, LARGE_TABLES_MAX, LOCALS_MAX, NESTING_MAX, TABLES_MAX,
};

/// The class of a component: it decides the limits and the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// A function as compilers make it, of at most 2 MiB.
    Small,
    /// A whole interpreter.
    Large,
}

/// The limits of a class.
#[derive(Debug)]
pub(crate) struct Limits {
    /// Length of the component.
    pub bytes: usize,
    /// Core modules, and their instances.
    pub core_instances: usize,
    /// Tables of all modules together.
    pub tables: usize,
    /// Functions, imported ones included.
    pub functions: usize,
    /// Functions that all modules together import, from each other and from the host.
    pub imports: usize,
    /// Globals of all modules together.
    pub globals: usize,
    /// Bytes of the body of one function.
    pub body_bytes: usize,
    pub locals: usize,
    /// Nested blocks of one function.
    pub nesting: usize,
    /// Adapters between component and core.
    pub canonicals: usize,
    /// Components inside the component, which may only give its exports their types.
    pub nested: usize,
    pub memory_bytes: usize,
    pub fuel: u64,
    /// Calls that run at once in this process.
    pub calls_at_once: usize,
}

static SMALL: Limits = Limits {
    bytes: COMPONENT_BYTES_MAX,
    core_instances: CORE_INSTANCES_MAX,
    tables: TABLES_MAX,
    functions: FUNCTIONS_MAX,
    imports: FUNCTIONS_MAX,
    globals: GLOBALS_MAX,
    body_bytes: BODY_BYTES_MAX,
    locals: LOCALS_MAX,
    nesting: NESTING_MAX,
    canonicals: CANONICALS_MAX,
    nested: 0,
    memory_bytes: GUEST_MEMORY_BYTES_MAX,
    fuel: CALL_FUEL_MAX,
    calls_at_once: CALLS_AT_ONCE_MAX,
};

/// Real components measure: JavaScript (componentize-js 0.23) 12 MB, 12,700 functions, the largest of
/// 172 KB; Python (componentize-py 0.25) 18 MB in 38 modules, 13,700 functions, 2,300 imported, the
/// largest of 427 KB.
static LARGE: Limits = Limits {
    bytes: LARGE_COMPONENT_BYTES_MAX,
    core_instances: LARGE_CORE_INSTANCES_MAX,
    tables: LARGE_TABLES_MAX,
    functions: LARGE_FUNCTIONS_MAX,
    imports: LARGE_IMPORTS_MAX,
    globals: LARGE_GLOBALS_MAX,
    body_bytes: LARGE_BODY_BYTES_MAX,
    locals: LOCALS_MAX,
    nesting: LARGE_NESTING_MAX,
    canonicals: CANONICALS_MAX,
    nested: LARGE_NESTED_MAX,
    memory_bytes: LARGE_GUEST_MEMORY_BYTES_MAX,
    fuel: LARGE_CALL_FUEL_MAX,
    calls_at_once: LARGE_CALLS_AT_ONCE_MAX,
};

impl Class {
    /// Returns the class of a component of `bytes` bytes. They may be more than any class allows.
    pub(crate) fn of(bytes: usize) -> Class {
        if bytes <= COMPONENT_BYTES_MAX { Class::Small } else { Class::Large }
    }

    /// Returns the limits of this class.
    pub(crate) fn limits(self) -> &'static Limits {
        match self {
            Class::Small => &SMALL,
            Class::Large => &LARGE,
        }
    }

    /// Returns the stack slots of a core module with `code` bytes of code, where all modules of the
    /// component have `all` bytes. The modules of a large component, which have at most one instance
    /// each, share the slots by their size.
    pub(crate) fn stack_slots(self, code: u64, all: u64) -> u32 {
        match self {
            Class::Small => GUEST_STACK_SLOTS_MAX,
            Class::Large => (LARGE_LEAST_SLOTS + LARGE_SHARED_SLOTS * code / all.max(1)) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits::STACK_SLOTS;
    use super::*;

    #[test]
    fn stack_of_all_modules_of_a_large_component_fits_a_thread() {
        let codes = [5_949_324, 373_500, 231_005, 5, 5, 0];
        let all = codes.iter().sum();
        let slots = codes.map(|code| u64::from(Class::Large.stack_slots(code, all)));
        assert!(slots.iter().sum::<u64>() <= STACK_SLOTS);
        assert_eq!(slots[5], LARGE_LEAST_SLOTS);
        assert_eq!(Class::Large.stack_slots(0, 0), LARGE_LEAST_SLOTS as u32);
        let of_many = (0..LARGE.core_instances).map(|_| Class::Large.stack_slots(1, 64));
        assert!(of_many.map(u64::from).sum::<u64>() <= STACK_SLOTS);
    }
}
