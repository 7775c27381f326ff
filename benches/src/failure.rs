//! The failure of a benchmark: any error ends the program with its text.

/// Anything that stops a benchmark.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
