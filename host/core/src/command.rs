//! What clients ask of a shard, and the log entry that carries it.
//!
//! Every write is one form, [`Transact`] (`transact.rs`): checks, then operations.
//! [`crate::WriteCommand`] is how users say it. Serialized types: their field order and variant
//! numbers are pinned by the golden vectors in `tests/codec.rs`; new variants go to the end.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ids::{Caller, ComponentHash, Name, NameError, ProfileId, SessionId, Timestamp};
use crate::key::Key;
use crate::limits::VALS_BYTES_MAX;
use crate::outcome::{Outcome, Refusal};
use crate::schedule::NewSchedule;
use crate::transact::{Read, Transact, check_read_set};
use crate::two_phase::{Decide, Finish, Prepare, TxnId};

/// One entry of a shard's log: a command, and everything else that applying it may depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The proposing leader's clock. Entry time is the highest stamp so far.
    pub stamp: Timestamp,
    /// Chance for the guest, drawn by the proposing leader.
    pub seed: u64,
    /// Who asked.
    pub caller: Caller,
    /// Makes a repeat of this request harmless. `None` only for commands that are so by nature.
    pub request: Option<RequestId>,
    /// What to do.
    pub command: Command,
}

/// Names one request of one session, so that it is applied once however often it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestId {
    /// The session, opened before on the same shard.
    pub session: SessionId,
    /// 1, 2, 3, ... within the session; requests in flight may arrive in any order.
    pub sequence: u64,
    /// The client has the outcomes of all sequence numbers below this one: they may be forgotten.
    pub acknowledged: u64,
}

/// What an entry does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Opens a session. A repeat opens another one, which later expires.
    OpenSession,
    /// Checks, then writes, all or nothing.
    Transact(Transact),
    /// Runs a function and writes what it wrote.
    Call(Call),
    /// Stores a component and lets a name point to it.
    Upload(Upload),
    /// Nothing but its stamp: lets what is due expire, and runs the first schedule that is due.
    /// Proposed by the leader itself.
    Tick,
    /// A transaction across shards: checks and locks its part. Proposed by nodes.
    Prepare(Prepare),
    /// What becomes of one that this shard coordinates. Proposed by nodes.
    Decide(Decide),
    /// What was decided is done here. Proposed by nodes.
    Finish(Finish),
    /// Every shard has done what was decided of these. Proposed by nodes.
    Forget(Vec<TxnId>),
    /// Lets a name point to a component that is there.
    Point {
        /// The name, old or new.
        name: Name,
        /// The component.
        component: ComponentHash,
    },
    /// Removes a name, and the components that no other name has or had.
    RemoveName {
        /// The name.
        name: Name,
    },
    /// Sends a share of a name's calls to another component that is there.
    Canary {
        /// The name; it exists.
        name: Name,
        /// The component, and of a hundred tags of keys how many; `None` ends it.
        canary: Option<(ComponentHash, u8)>,
    },
    /// Makes a call later, or again and again.
    Schedule(NewSchedule),
    /// Ends a schedule.
    Unschedule {
        /// Its name on this shard.
        name: Name,
    },
    /// From here on functions run so. Proposed by the leader, once every replica said that it can.
    SwitchProfile(ProfileId),
    /// Nothing but its stamp: each replica hashes its state as of this entry, for comparison.
    /// Proposed by the leader when somebody asks for it.
    Verify,
    /// Stores a part of a component that is too large for one entry.
    UploadPart(UploadPart),
    /// Puts the parts together and lets a name point to the component.
    FinishUpload {
        /// The name.
        name: Name,
        /// The hash of the whole.
        component: ComponentHash,
    },
    /// A request for a transaction across shards did nothing, and this is its answer, for good: no other
    /// attempt at it is committed from here on. On the coordinator's shard; proposed by nodes.
    Conclude(Box<Outcome>),
}

impl Command {
    /// Whether clients may ask for it.
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

/// Which component a call means.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ComponentRef {
    /// Whatever the name points to when the entry is applied.
    Name(Name),
    /// This one and no other.
    Hash(ComponentHash),
}

/// Before the hash, in the text that names a component by it.
const HASH_PREFIX: &str = "sha256:";

impl FromStr for ComponentRef {
    type Err = NameError;

    /// A name, or `sha256:` and 64 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let Some(hash) = text.strip_prefix(HASH_PREFIX) else {
            return Name::new(text).map(ComponentRef::Name);
        };
        match hash.parse() {
            Ok(hash) => Ok(ComponentRef::Hash(hash)),
            // What is wrong with it as a name is the colon.
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

/// A function call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Decides the shard: the function may touch only keys that live on the same one.
    pub key: Key,
    /// The component.
    pub component: ComponentRef,
    /// The exported function, in WIT spelling (`record-purchase`).
    pub function: String,
    /// The arguments, as [`crate::encode_vals`] writes them.
    pub args: Bytes,
    /// The function runs only if all of these hold.
    pub reads: Vec<Read>,
}

impl Call {
    /// Whether it is within the limits on operations and bytes.
    pub fn check(&self) -> Result<(), Refusal> {
        if self.args.len() > VALS_BYTES_MAX {
            return Err(Refusal::ArgumentsTooLarge { bytes: self.args.len() as u64 });
        }
        check_read_set(&self.reads)
    }
}

/// An upload: the component and the name that shall point to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// The name.
    pub name: Name,
    /// The component's bytes.
    pub bytes: Bytes,
}

/// A part of an upload. One that is not the next changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadPart {
    /// The hash of the whole.
    pub component: ComponentHash,
    /// Bytes of the whole.
    pub total: u64,
    /// Where this part begins.
    pub offset: u64,
    /// The part: up to [`crate::limits::UPLOAD_PART_BYTES_MAX`] bytes.
    pub bytes: Bytes,
}
