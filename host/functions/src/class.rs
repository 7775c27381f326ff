//! The two classes of components, and what each may have.
//!
//! A component of more than 2 MiB is *large*: an interpreter of another language, with the program that
//! it runs. It has limits of its own, all in this file, an engine and a pool of its own, and few calls
//! run at once; so it takes nothing from the others. Promises that the class follows from the length
//! alone, so that every replica takes the same one. How the sizes were found: docs/functions.md.

use aspen_core::limits::{
    CALL_FUEL_MAX, COMPONENT_BYTES_MAX, GUEST_MEMORY_BYTES_MAX, GUEST_STACK_SLOTS_MAX,
    LARGE_CALL_FUEL_MAX, LARGE_COMPONENT_BYTES_MAX, LARGE_GUEST_MEMORY_BYTES_MAX,
};

use crate::profile::{
    BODY_BYTES_MAX, CALLS_AT_ONCE_MAX, CANONICALS_MAX, CORE_INSTANCES_MAX, FUNCTIONS_MAX,
    GLOBALS_MAX, LOCALS_MAX, NESTING_MAX, TABLES_MAX,
};

/// Which limits and which engine a component has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// A function as compilers make it, of at most 2 MiB.
    Small,
    /// A whole interpreter.
    Large,
}

/// What a component of a class may have.
#[derive(Debug)]
pub(crate) struct Limits {
    /// Its length.
    pub bytes: usize,
    /// Core modules, and their instances.
    pub core_instances: usize,
    /// Tables, of all modules together.
    pub tables: usize,
    /// Functions, imported ones included.
    pub functions: usize,
    /// Functions that the modules import from each other and from the host, all together.
    pub imports: usize,
    /// Globals, of all modules together.
    pub globals: usize,
    /// Bytes of one function's body.
    pub body_bytes: usize,
    /// Locals of one function.
    pub locals: usize,
    /// Nested blocks of one function.
    pub nesting: usize,
    /// Adapters between component and core.
    pub canonicals: usize,
    /// Components inside the component, which may only give its exports their types.
    pub nested: usize,
    /// Linear memory.
    pub memory_bytes: usize,
    /// Fuel of one call.
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

/// Measured: JavaScript (componentize-js 0.23) 12 MB, 12,700 functions, the largest of 172 KB; Python
/// (componentize-py 0.25) 18 MB in 38 modules, 13,700 functions, 2,300 imported, the largest of 427 KB.
static LARGE: Limits = Limits {
    bytes: LARGE_COMPONENT_BYTES_MAX,
    core_instances: 64,
    tables: 8,
    functions: 30_000,
    imports: 10_000,
    globals: 4_000,
    body_bytes: 512 << 10,
    locals: 1000,
    nesting: 1000,
    canonicals: 1000,
    nested: 1,
    memory_bytes: LARGE_GUEST_MEMORY_BYTES_MAX,
    fuel: LARGE_CALL_FUEL_MAX,
    calls_at_once: 8,
};

/// Stack slots of all core instances of a component together: what [`crate::STACK_BYTES`] has room for.
pub(crate) const STACK_SLOTS: u64 = GUEST_STACK_SLOTS_MAX as u64 * CORE_INSTANCES_MAX as u64;

/// Stack slots that every core module of a large component has, however small.
const LEAST_SLOTS: u64 = 256;

const _: () = assert!(LARGE.core_instances as u64 * LEAST_SLOTS < STACK_SLOTS);

impl Class {
    /// The class of a component of so many bytes, which may be more than any class allows.
    pub(crate) fn of(bytes: usize) -> Class {
        if bytes <= COMPONENT_BYTES_MAX { Class::Small } else { Class::Large }
    }

    /// What it may have.
    pub(crate) fn limits(self) -> &'static Limits {
        match self {
            Class::Small => &SMALL,
            Class::Large => &LARGE,
        }
    }

    /// Stack slots of a core module with `code` bytes of code, of `all` in the component: in a large one,
    /// of which no module has more than one instance, the modules share by their size.
    pub(crate) fn stack_slots(self, code: u64, all: u64) -> u32 {
        let shared = STACK_SLOTS - LARGE.core_instances as u64 * LEAST_SLOTS;
        match self {
            Class::Small => GUEST_STACK_SLOTS_MAX,
            Class::Large => (LEAST_SLOTS + shared * code / all.max(1)) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stack_of_all_modules_of_a_large_component_fits_a_thread() {
        let codes = [5_949_324, 373_500, 231_005, 5, 5, 0];
        let all = codes.iter().sum();
        let slots = codes.map(|code| u64::from(Class::Large.stack_slots(code, all)));
        assert!(slots.iter().sum::<u64>() <= STACK_SLOTS);
        assert_eq!(slots[5], LEAST_SLOTS);
        assert_eq!(Class::Large.stack_slots(0, 0), LEAST_SLOTS as u32);
        let of_many = (0..LARGE.core_instances).map(|_| Class::Large.stack_slots(1, 64));
        assert!(of_many.map(u64::from).sum::<u64>() <= STACK_SLOTS);
    }
}
