//! [`HostError`]: a failure of this machine.
//!
//! The replica stops at such a failure: a replica that goes on would give another answer than the other
//! replicas gave.

use snafu::Snafu;

/// A failure of this machine: a disk, a damaged file, a bug of ours. Never the fault of a guest.
#[derive(Debug, Snafu)]
#[snafu(display("{what} failed"))]
pub struct HostError {
    /// The step that failed.
    pub what: &'static str,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl HostError {
    /// Wraps the cause.
    pub fn new(
        what: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { what, source: source.into() }
    }
}
