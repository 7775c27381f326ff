//! Numbers with names: shards, nodes, revisions, versions, fuel, times.
//!
//! Each is its own type, so a version cannot stand where a revision is meant. Each has one short text,
//! which logs, scripts and errors share: `s3 n1 r42 v40`. Leaves out arithmetic without a meaning: no
//! `Add`, no `From<u64>`.

use std::fmt;

use serde::{Deserialize, Serialize};

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
    /// The counter of a shard's commits. 0 before the first one.
    Revision, u64, "r"
);

number!(
    /// The number of writes to a key since it was created: 1, 2, ...; 0 means absent.
    Version, u64, "v"
);

number!(
    /// Raft's position in a shard's log. Used in store and node; transactions do not use it.
    LogIndex, u64, "i"
);

number!(
    /// The unit of a guest's work; see the cost table of `aspen-functions`.
    Fuel, u64, ""
);

/// The settings that decide the outcome of a call besides its input: WebAssembly features, fuel
/// prices, limits, the version of the engine. Each shard has one profile at a time; an entry
/// changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProfileId(u32);

impl ProfileId {
    /// The profile of a new shard. A log is applied from its beginning, so a data folder that began
    /// with another profile is refused. This number changes only while there is no release.
    pub const FIRST: ProfileId = ProfileId(1);

    /// Wraps the number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

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
    /// Entry time: milliseconds since 1970-01-01 UTC as stamped by a leader; never goes back.
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
    /// A view that stays open, for a scan that is consistent across shards. A random number, so
    /// that no client reads another client's view by mistake.
    ViewId, u64, "w"
);

impl ShardId {
    /// The system group: not a shard of the key space, but the group that holds the placement map.
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
    /// Returns the next id.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Revision {
    /// Returns the revision of the next commit.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Version {
    /// The version of an absent key.
    pub const ABSENT: Version = Version(0);

    /// Returns the version after one more write.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl SessionId {
    /// Returns the id of the session that opens next.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl LeaseId {
    /// No lease: the key stays until it is removed.
    pub const NONE: LeaseId = LeaseId(0);

    /// Returns the id of the lease that is granted next.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Timestamp {
    /// Returns the time this many milliseconds later.
    pub const fn after(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Returns the milliseconds from `earlier` to this time; 0 if `earlier` is later.
    pub const fn since(self, earlier: Timestamp) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
