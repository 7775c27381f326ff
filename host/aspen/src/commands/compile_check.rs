//! `aspen compile-check`: compiles a component within limits, for a node that got an upload.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

/// `aspen compile-check`
#[derive(Debug, Args)]
pub struct CompileCheck {
    /// Optimisation level of the compiler: none or speed.
    pub level: String,
    /// Limit of CPU time in seconds.
    pub seconds: u64,
    /// Limit of memory in MiB.
    pub mib: u64,
    /// The file for the compiled code.
    pub keep: Option<PathBuf>,
}

/// Compiles the component of standard input. The exit code tells the node the result.
pub fn run(options: &CompileCheck) -> ExitCode {
    let CompileCheck { level, seconds, mib, keep } = options;
    aspen_functions::compile_check(level, *seconds, *mib, keep.as_deref())
}
