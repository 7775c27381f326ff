//! Functions in WebAssembly: one call in; its result, writes and fuel out.
//!
//! [`WasmFunctions`] implements [`aspen_core::Functions`] with wasmtime, under the settings of
//! `profile.rs`, so that every replica computes the same for the same log entry. [`check()`] decides
//! what may be uploaded, from the bytes alone.
//!
//! Leaves out storage and replication: state is seen through [`aspen_core::View`], and writes are
//! returned, not made. What a guest may see of the world is `wit/aspen.wit`.
//! Start reading at `functions.rs`.

mod functions;

mod host;
mod imports;
mod overlay;
#[cfg(madsim)]
pub mod planted;

mod cache;
mod class;
mod compile;
mod compile_check;
mod instrument;
mod profile;

mod check;
mod convert;
mod signature;

pub use cache::COMPONENTS_READY_MAX;
pub use check::{ComponentError, check};
pub use compile_check::{
    COMPILE_CPU_SECONDS, COMPILE_MEMORY_MIB, CompileCheck, CompileError, CompileTurn, compile_check,
};
pub use functions::{EngineError, Level, Options, WasmFunctions};
pub use profile::{
    CALLS_AT_ONCE_MAX, LOG_LINE_BYTES_MAX, LOG_LINES_MAX, PROFILE_VERSION, STACK_BYTES,
    WASMTIME_VERSION,
};
