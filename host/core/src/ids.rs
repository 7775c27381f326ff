//! Small numbers with names: shards, nodes, revisions, versions, fuel, hashes.
//!
//! Each is its own type, so that a version cannot stand where a revision is meant, and each has
//! one short text form used alike in logs, scripts and errors: `s3 n1 r42 v40`.
//! Leaves out arithmetic that means nothing: there is no `Add`, no `From<u64>`.

use std::fmt;

use serde::{Deserialize, Serialize};
use snafu::{Snafu, ensure};

use crate::limits::NAME_BYTES_MAX;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name($inner);

        impl $name {
            /// Wraps the number.
            pub const fn new(number: $inner) -> Self {
                Self(number)
            }

            /// The bare number, for storage and display.
            pub const fn get(self) -> $inner {
                self.0
            }
        }
    };
    ($(#[$doc:meta])* $name:ident, $inner:ty, $prefix:literal) => {
        number!($(#[$doc])* $name, $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

number!(
    /// A shard of the key space, 0-based: one Raft group. Or the system group.
    ShardId, u16
);
number!(
    /// A node of the cluster, 1-based, never given twice.
    NodeId, u64, "n"
);
number!(
    /// A shard's counter of commits. 0 before the first one.
    Revision, u64, "r"
);
number!(
    /// Writes to a key since it was created: 1, 2, ...; 0 means absent.
    Version, u64, "v"
);
number!(
    /// Raft's position in a shard's log. Used in store and node; a transaction never sees it.
    LogIndex, u64, "i"
);
number!(
    /// The unit of work of a guest; see the cost table of `aspen-functions`.
    Fuel, u64, ""
);
/// What decides the outcome of a call besides its input: WebAssembly features, fuel prices, limits, the
/// version of the engine. Each shard has one at a time, changed by an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProfileId(u32);

impl ProfileId {
    /// What a new shard begins with. A log is applied from its beginning, so a folder that began with another
    /// one is refused: it changes only while there is no release.
    pub const FIRST: ProfileId = ProfileId(4);

    /// Wraps the number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The bare number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Default for ProfileId {
    fn default() -> Self {
        Self::FIRST
    }
}

impl fmt::Display for ProfileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "profile {}", self.0)
    }
}

number!(
    /// Entry time: milliseconds since 1970-01-01 UTC as stamped by a leader, never going back.
    Timestamp, u64, "t"
);
number!(
    /// A client's session on one shard, given by the state machine, 1-based.
    SessionId, u64, "c"
);

number!(
    /// A lease on one shard, given by the state machine, 1-based; 0 means none.
    LeaseId, u64, "l"
);

number!(
    /// A view that stays open, for a scan that is consistent across shards: chance, so that nobody
    /// reads another's by mistake.
    ViewId, u64, "w"
);

impl ShardId {
    /// Not a shard of the key space but the group that holds the map of the cluster.
    pub const SYSTEM: ShardId = ShardId(u16::MAX);
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            ShardId::SYSTEM => f.write_str("the system group"),
            ShardId(shard) => write!(f, "s{shard}"),
        }
    }
}

impl NodeId {
    /// The next one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Revision {
    /// The revision of the next commit.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Version {
    /// No such key.
    pub const ABSENT: Version = Version(0);

    /// The version after one more write.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl SessionId {
    /// The id of the session opened after this one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl LeaseId {
    /// No lease: the key stays until it is removed.
    pub const NONE: LeaseId = LeaseId(0);

    /// The id of the lease granted after this one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Timestamp {
    /// This many milliseconds later.
    pub const fn after(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this, 0 if `earlier` is later.
    pub const fn since(self, earlier: Timestamp) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

pub(crate) fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Who sent a request: the ed25519 public key of the connection; all zero inside the process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Caller([u8; 32]);

impl Caller {
    /// The embedding program itself, where there is no connection.
    pub const LOCAL: Caller = Caller([0; 32]);

    /// Wraps a public key.
    pub const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The public key's bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Caller({self})")
    }
}

/// The address of a component: SHA-256 of its bytes as uploaded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ComponentHash([u8; 32]);

impl ComponentHash {
    /// Hashes a component's bytes.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// Wraps a hash that was stored.
    pub const fn new(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The hash's bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A text is no [`ComponentHash`]: it is not 64 hexadecimal digits.
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

/// The name of a component or of a function: 1 to 64 of `a-z 0-9 - _ . /`, starting with a letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// Why a text is no [`Name`].
#[derive(Debug, Snafu, PartialEq, Eq)]
pub enum NameError {
    /// Empty, or too long.
    #[snafu(display("name is {bytes} bytes, allowed are 1 to {NAME_BYTES_MAX}"))]
    Length {
        /// Its length.
        bytes: usize,
    },
    /// A character that names do not have.
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

    /// The text.
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
