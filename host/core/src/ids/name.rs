//! [`Name`]: a short text that users choose, for a component or a schedule.
//!
//! Promises that every [`Name`] is within its limits, because none can be made otherwise.

use std::fmt;

use serde::{Deserialize, Serialize};
use snafu::{Snafu, ensure};

use crate::limits::NAME_BYTES_MAX;

/// A name of a component, a function or a schedule: 1 to 64 of `a-z 0-9 - _ . /`, beginning with a
/// letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// The reasons for which a text is no [`Name`].
#[derive(Debug, Snafu, PartialEq, Eq)]
pub enum NameError {
    /// Empty, or too long.
    #[snafu(display("name is {bytes} bytes, allowed are 1 to {NAME_BYTES_MAX}"))]
    Length { bytes: usize },
    /// A character that a name cannot have.
    #[snafu(display(
        "name {name:?} must start with a-z and hold only a-z, 0-9, '-', '_', '.' and '/'"
    ))]
    Character {
        /// The text, within the allowed length.
        name: String,
    },
}

impl Name {
    /// Checks the text and wraps it.
    pub fn new(name: impl Into<String>) -> Result<Self, NameError> {
        let name = name.into();
        ensure!((1..=NAME_BYTES_MAX).contains(&name.len()), LengthSnafu { bytes: name.len() });
        let body = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-_./".contains(&c);
        let good = name.as_bytes()[0].is_ascii_lowercase() && name.bytes().all(body);
        ensure!(good, CharacterSnafu { name });
        Ok(Self(name))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;
    fn try_from(name: String) -> Result<Self, NameError> {
        Self::new(name)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> String {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
