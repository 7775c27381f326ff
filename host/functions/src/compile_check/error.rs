//! [`CompileError`]: the answers of the process that tries to compile an upload.

use std::io;
use std::process::ExitStatus;

use aspen_core::view::HostError;
use snafu::Snafu;

/// The reason why an upload is not proposed, though it passes the upload check.
#[derive(Debug, Snafu)]
#[snafu(visibility(pub(super)))]
pub enum CompileError {
    /// Compiling takes too long.
    #[snafu(display("component takes more than {seconds} s to compile"))]
    TooSlow {
        /// The CPU time allowed.
        seconds: u64,
    },
    /// Compiling takes too much memory.
    #[snafu(display("component takes more than {mib} MiB of memory to compile"))]
    TooLarge {
        /// The memory allowed.
        mib: u64,
    },
    /// The compiler refuses the component.
    #[snafu(display("component cannot be compiled: {reason}"))]
    Unfit {
        /// The error of the compiler.
        reason: String,
    },
    /// The compiler crashed on the component.
    #[snafu(display("the compiler failed on the component ({status})"))]
    Crashed {
        /// The status of the process.
        status: ExitStatus,
    },
    /// Other uploads are being compiled; a retry may succeed.
    #[snafu(display("the node is busy compiling other components, try again"))]
    Busy,
    /// Nobody waits for the answer any more.
    #[snafu(display("the upload was given up"))]
    GivenUp,
    /// The process cannot be started; a retry may succeed.
    #[snafu(display("cannot start a process to compile in: {source}"))]
    Start {
        /// The error of the system.
        source: io::Error,
    },
    /// This machine failed.
    #[snafu(display("{source}"), context(false))]
    Machine {
        /// The failure.
        source: HostError,
    },
}
