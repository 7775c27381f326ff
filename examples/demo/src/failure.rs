//! The failure of the demonstration: any error ends the program with its text.

/// An error that stops the demonstration.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
