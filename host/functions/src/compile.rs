//! From a component's bytes to code that runs, once per component and process.
//!
//! Promises that only components that pass the upload check are compiled, and that this process runs
//! no compiled code of another machine. Leaves out calls, and uploads that are hard to compile: those
//! are tried in a process of their own (`compile_check.rs`).
//! `compile/engine.rs` starts wasmtime, `compile/compiler.rs` compiles, `compile/code_file.rs` keeps
//! code on disk, `compile/cache.rs` keeps components in memory.

pub(crate) mod cache;
pub(crate) mod code_file;
pub(crate) mod compiler;
pub(crate) mod engine;
