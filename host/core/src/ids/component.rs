//! The ids of components: [`ComponentHash`], and [`ComponentRef`] for a hash or a name.
//!
//! A hash always means the same bytes. A name means the component that its alias points to when the
//! entry is applied; see [`crate::view::Alias`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use snafu::{Snafu, ensure};

use crate::ids::hex::hex;
use crate::ids::name::{Name, NameError};

/// The hash of a component: SHA-256 of its bytes as uploaded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ComponentHash([u8; 32]);

impl ComponentHash {
    /// Hashes a component's bytes.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// Wraps a stored hash.
    pub const fn new(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The error for a text that is not 64 hexadecimal digits.
#[derive(Debug, Snafu, PartialEq, Eq)]
#[snafu(display("a component's hash has 64 hexadecimal digits"))]
pub struct HashError;

impl std::str::FromStr for ComponentHash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let mut hash = [0; 32];
        ensure!(text.len() == 64 && text.bytes().all(|c| c.is_ascii_hexdigit()), HashSnafu);
        for (at, byte) in hash.iter_mut().enumerate() {
            let digits = &text[2 * at..2 * at + 2];
            *byte = u8::from_str_radix(digits, 16).map_err(|_| HashError)?;
        }
        Ok(Self(hash))
    }
}

impl fmt::Display for ComponentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for ComponentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ComponentHash({self})")
    }
}

/// The component that a call means.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ComponentRef {
    /// The component that the alias points to when the entry is applied.
    Name(Name),
    /// This component.
    Hash(ComponentHash),
}

/// The begin of a text that means a hash.
const HASH_PREFIX: &str = "sha256:";

impl FromStr for ComponentRef {
    type Err = NameError;

    /// Parses a name, or `sha256:` and 64 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let Some(hash) = text.strip_prefix(HASH_PREFIX) else {
            return Name::new(text).map(ComponentRef::Name);
        };
        match hash.parse() {
            Ok(hash) => Ok(ComponentRef::Hash(hash)),
            // As a name it is refused for its colon.
            Err(_) => Name::new(text).map(ComponentRef::Name),
        }
    }
}

impl fmt::Display for ComponentRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ComponentRef::Name(name) => write!(f, "{name}"),
            ComponentRef::Hash(hash) => write!(f, "{HASH_PREFIX}{hash}"),
        }
    }
}
