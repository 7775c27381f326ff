//! How a command ends when it does not succeed: a message and an exit code.

/// A command's failure.
#[derive(Debug)]
pub enum Failure {
    /// Refused, conflicting or not found: exit code 1.
    Refused {
        /// What to tell the user.
        message: String,
    },
    /// Wrong usage: exit code 2.
    Usage {
        /// What to tell the user.
        message: String,
    },
    /// The cluster was not reached: exit code 3.
    NotReached {
        /// What to tell the user.
        message: String,
    },
}

impl Failure {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Failure::Refused { .. } => 1,
            Failure::Usage { .. } => 2,
            Failure::NotReached { .. } => 3,
        }
    }

    /// The message.
    pub fn message(&self) -> &str {
        let (Failure::Refused { message }
        | Failure::Usage { message }
        | Failure::NotReached { message }) = self;
        message
    }
}
