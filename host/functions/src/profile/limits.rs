//! The limits of components and calls that `aspen_core::limits` does not hold.
//!
//! They decide which components pass the upload check and where a call ends, so they are part of the profile:
//! see [`super::PROFILE_VERSION`]. A component above 2 MiB is large; its limits begin with `LARGE_`.
//! Leaves out fuel, which is in `prices.rs`.

use aspen_core::limits::{GUEST_MEMORY_BYTES_MAX, GUEST_STACK_SLOTS_MAX, TXN_OPS_MAX};

/// Native stack of WebAssembly frames: 64 bytes for every slot that a guest can have on all its
/// core instances together. Frames stay far below that: see `instrument.rs`.
pub const WASM_STACK_BYTES: usize = 16 << 20;

/// Stack that a thread needs to run [`crate::WasmFunctions`]: the guest's, and 2 MiB for the host
/// functions and the state's code above it. Untouched pages cost nothing.
pub const STACK_BYTES: usize = WASM_STACK_BYTES + (2 << 20);

/// Stack slots of all core instances of a component together: as many as [`STACK_BYTES`] holds.
pub const STACK_SLOTS: u64 = GUEST_STACK_SLOTS_MAX as u64 * CORE_INSTANCES_MAX as u64;

/// Core instances of one component: wit-component makes three (module, shim, fix-up).
pub const CORE_INSTANCES_MAX: usize = 4;

/// Core instances of a large component. componentize-py makes 38.
pub const LARGE_CORE_INSTANCES_MAX: usize = 64;

/// Memories of one component: that of its module. The shims have none.
pub const MEMORIES_MAX: usize = 1;

/// Tables of one component.
pub const TABLES_MAX: usize = 4;

/// Tables of a large component.
pub const LARGE_TABLES_MAX: usize = 8;

/// Functions of a component, imported ones included. Large real guests measure 5,000.
pub const FUNCTIONS_MAX: usize = 10_000;

/// Functions of a large component. Real ones measure 12,700 (JavaScript) and 13,700 (Python).
pub const LARGE_FUNCTIONS_MAX: usize = 30_000;

/// Functions that the modules of a large component import. Real ones measure 2,300 (Python).
pub const LARGE_IMPORTS_MAX: usize = 10_000;

/// Globals of a component. Real guests have under ten; instance data must fit its pool slot.
pub const GLOBALS_MAX: usize = 1000;

/// Globals of a large component.
pub const LARGE_GLOBALS_MAX: usize = 4_000;

/// Bytes of one function's body. Compile time of hostile code grows with its square: 64 KiB is above
/// the largest body measured in real guests (55 KiB).
pub const BODY_BYTES_MAX: usize = 64 << 10;

/// Bytes of one function's body in a large component. Real ones measure 172 KB (JavaScript) and
/// 427 KB (Python).
pub const LARGE_BODY_BYTES_MAX: usize = 512 << 10;

/// Locals of one function, parameters included. Largest measured in real guests: 549.
pub const LOCALS_MAX: usize = 1000;

/// Nested blocks of one function.
pub const NESTING_MAX: usize = 250;

/// Nested blocks of one function of a large component.
pub const LARGE_NESTING_MAX: usize = 1000;

/// Adapters between component and core: one per import and export.
pub const CANONICALS_MAX: usize = 1000;

/// Components inside a large component: the one that gives the exports the names of their types.
pub const LARGE_NESTED_MAX: usize = 1;

/// Stack slots that every core module of a large component has, however small.
pub const LARGE_LEAST_SLOTS: u64 = 256;

/// Stack slots that the core modules of a large component share by their size.
pub const LARGE_SHARED_SLOTS: u64 =
    STACK_SLOTS - LARGE_CORE_INSTANCES_MAX as u64 * LARGE_LEAST_SLOTS;

/// Bytes that a call may copy out of the guest at once, as wasmtime counts them: all its memory.
pub const COPY_OUT_MAX: usize = GUEST_MEMORY_BYTES_MAX;

/// Keys in one `get-many`: as many as a call may write.
pub const KEYS_ASKED_MAX: usize = TXN_OPS_MAX;

/// A page of a guest's memory.
pub const WASM_PAGE_BYTES: usize = 64 << 10;

/// Lines that a call may log; more are dropped. Logs are for one node's operator, not replicated.
pub const LOG_LINES_MAX: usize = 64;

/// Bytes of one logged line; the rest is dropped.
pub const LOG_LINE_BYTES_MAX: usize = 256;

/// Calls that run at once in this process; others wait. It bounds the pool: 32 x 16 MiB.
pub const CALLS_AT_ONCE_MAX: usize = 32;

/// Calls of large components that run at once in this process: 8 x 64 MiB.
pub const LARGE_CALLS_AT_ONCE_MAX: usize = 8;

const _: () = assert!(LARGE_CORE_INSTANCES_MAX as u64 * LARGE_LEAST_SLOTS < STACK_SLOTS);
