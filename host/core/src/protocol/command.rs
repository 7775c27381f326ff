//! [`Command`]: the effect of an entry of a shard's log. [`Entry`]: the entry itself.
//!
//! Serialized types: their field order and variant numbers are pinned by the golden vectors in
//! `tests/codec.rs`; new variants go to the end.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::function::Call;
use crate::ids::{Caller, ComponentHash, Name, ProfileId, RequestId, Timestamp, TxnId};
use crate::protocol::outcome::Outcome;
use crate::state::NewSchedule;
use crate::transaction::Transact;
use crate::two_phase::{Decide, Finish, Prepare};

/// One entry of a shard's log: a command, and everything else that its outcome depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The clock of the leader that proposed the entry. Entry time is the highest stamp so far.
    pub stamp: Timestamp,
    /// A random number for guests, drawn by the leader that proposed the entry.
    pub seed: u64,
    /// The client that sent the request.
    pub caller: Caller,
    /// Makes a repeat of this request harmless. `None` only for commands whose repeat is harmless
    /// by nature.
    pub request: Option<RequestId>,
    pub command: Command,
}

/// The effect of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Opens a session. A repeat opens another one, which later expires.
    OpenSession,
    /// Checks, then writes, all or nothing.
    Transact(Transact),
    /// Runs a function and applies its writes.
    Call(Call),
    /// Stores a component and points an alias to it.
    Upload(Upload),
    /// Stores a part of a component that is too large for one entry.
    UploadPart(UploadPart),
    /// Joins the parts and points an alias to the component. Before the leader proposes this, the leader
    /// and the replicas read the parts from their states, check and compile them. Apply joins the
    /// parts, compares the hash, stores the component, points the name and removes the parts.
    FinishUpload {
        name: Name,
        /// The hash of the whole.
        component: ComponentHash,
    },
    /// Points an alias to a stored component.
    Point {
        /// The alias, old or new.
        name: Name,
        component: ComponentHash,
    },
    /// Sends a share of an alias's calls to another stored component.
    Canary {
        /// The alias; it exists.
        name: Name,
        /// The component, and the share of a hundred tags of keys; `None` ends the canary.
        canary: Option<(ComponentHash, u8)>,
    },
    /// Removes an alias, and the components that no other alias mentions.
    RemoveName { name: Name },
    /// Makes a call later, once or repeatedly.
    Schedule(NewSchedule),
    /// Ends a schedule.
    Unschedule {
        /// The name on this shard.
        name: Name,
    },
    /// Checks and locks this shard's part of a transaction across shards. Proposed by nodes.
    Prepare(Prepare),
    /// Decides a transaction across shards that this shard coordinates. Proposed by nodes.
    Decide(Decide),
    /// Applies a decision on this shard. Proposed by nodes.
    Finish(Finish),
    /// Ends a request for a transaction across shards that did nothing, with this answer: no other
    /// attempt at the request commits from here on. On the coordinator's shard; proposed by nodes.
    Conclude(Box<Outcome>),
    /// Forgets decisions that every shard has applied. Proposed by nodes.
    Forget(Vec<TxnId>),
    /// Does nothing besides its stamp: everything that is due expires, and the first schedule that is due
    /// runs. Proposed by the leader itself.
    Tick,
    /// Changes the profile of the shard's functions. Proposed by the leader, once every replica
    /// said that it knows the profile.
    SwitchProfile(ProfileId),
    /// Does nothing besides its stamp: each replica hashes its state as of this entry, for
    /// comparison. Proposed by the leader when a client asks for it.
    Verify,
}

impl Command {
    /// True if a client may ask for the command.
    pub fn is_for_clients(&self) -> bool {
        match self {
            Command::OpenSession | Command::Transact(_) => true,
            Command::Call(_) | Command::Upload(_) => true,
            Command::UploadPart(_) | Command::FinishUpload { .. } => true,
            Command::Point { .. } | Command::RemoveName { .. } | Command::Canary { .. } => true,
            Command::Schedule(_) | Command::Unschedule { .. } => true,
            Command::Tick | Command::SwitchProfile(_) | Command::Prepare(_) => false,
            Command::Decide(_) | Command::Finish(_) | Command::Forget(_) => false,
            Command::Verify | Command::Conclude(_) => false,
        }
    }
}

/// Prints a short text for the kind of the command.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Command::OpenSession => "open a session",
            Command::Transact(_) => "a transaction",
            Command::Call(_) => "a call",
            Command::Upload(_) => "an upload",
            Command::Tick => "let time pass",
            Command::UploadPart(_) => "a part of an upload",
            Command::FinishUpload { .. } => "the end of an upload in parts",
            Command::Prepare(_) => "prepare a transaction across shards",
            Command::Decide(_) => "decide a transaction across shards",
            Command::Finish(_) => "finish a transaction across shards",
            Command::Conclude(_) => "conclude a transaction across shards that did nothing",
            Command::Forget(_) => "forget finished transactions across shards",
            Command::Point { .. } => "point a name to a component",
            Command::RemoveName { .. } => "remove a name",
            Command::Canary { .. } => "set or end a canary",
            Command::Schedule(_) => "schedule a call",
            Command::Unschedule { .. } => "end a schedule",
            Command::SwitchProfile(_) => "switch the profile of functions",
            Command::Verify => "hash the state",
        })
    }
}

/// An upload: the component and its alias.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// The alias.
    pub name: Name,
    pub bytes: Bytes,
}

/// A part of an upload. One that is not the next changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadPart {
    /// The hash of the whole.
    pub component: ComponentHash,
    /// Bytes of the whole.
    pub total: u64,
    /// The offset in the whole at which this part begins.
    pub offset: u64,
    /// Up to [`crate::limits::UPLOAD_PART_BYTES_MAX`] bytes.
    pub bytes: Bytes,
}
