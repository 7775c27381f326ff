//! Functions in WebAssembly: one call in; its result, writes and fuel out.
//!
//! [`WasmFunctions`] implements [`aspen_core::function::Functions`] with wasmtime, under the settings of the room
//! `profile`, so that every replica computes the same for the same log entry. [`check()`] decides from
//! the bytes alone if a component may be uploaded.
//!
//! A component passes in this order: its size, the numbers of its parts, its validity with the WebAssembly
//! features of the profile, the limits of each module, imports, exports, compilation. Every core module is
//! instrumented with a counter of call depth, so that recursion ends at the same depth on every compiler.
//! A call gets a fresh instance. Host calls cost fuel before they work. After a trap all the fuel is
//! charged, because the engine's reading is stale.
//!
//! Leaves out storage and replication: a call reads state through [`aspen_core::view::View`], and its writes
//! are returned, not made. `wit/aspen.wit` defines what a guest may see of the world.
//! Start reading at `functions.rs`.
//!
//! Rooms, bottom to top; each uses only those above it in this list:
//! - `profile`: the settings that decide the outcome of a call: limits, prices, classes, engine settings
//! - `interface`: the names and types of the host functions
//! - `instrument`: the counter of call depth in every core module
//! - `check`: the upload check
//! - `host`: the host's side of a call: its writes, its limits, the host functions
//! - `compile`: from bytes to code that runs, on disk and in memory
//! - `compile_check`: the process that tries to compile an upload
//! - `call`: one call, from its arguments to its result
//! - `planted`: defects for the simulation
//! - `functions`: [`WasmFunctions`], the door

mod profile;

mod interface;

mod instrument;

mod check;

mod host;

mod compile;

mod compile_check;

mod call;

#[cfg(madsim)]
pub mod planted;

mod functions;

pub use check::{ComponentError, check};
pub use compile::cache::COMPONENTS_READY_MAX;
pub use compile::engine::{EngineError, Level};
pub use compile_check::{
    COMPILE_CPU_SECONDS, COMPILE_MEMORY_MIB, CompileCheck, CompileError, CompileTurn, compile_check,
};
pub use functions::{Options, WasmFunctions};
pub use profile::limits::{CALLS_AT_ONCE_MAX, LOG_LINE_BYTES_MAX, LOG_LINES_MAX, STACK_BYTES};
pub use profile::{PROFILE_VERSION, WASMTIME_VERSION, limits, prices};
