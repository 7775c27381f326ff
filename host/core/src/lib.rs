//! The words and the rules of Aspen: everything that replicas must agree on, and nothing else.
//!
//! Promises that the same state and the same entry give the same outcome, writes and digest on
//! every machine: no clock, randomness, thread, float or hash-map order is used here. Time and
//! chance arrive inside the log entry.
//!
//! Leaves out all I/O: storage is behind [`View`] and [`State`], functions behind [`Functions`].
//! Start reading at [`apply()`].
//!
//! # Glossary
//! key, value; **version** (writes to this key since it was created: 1, 2, ...; 0 = absent),
//! **create revision**, **mod revision**, **revision** (a shard's counter of commits, strictly
//! rising); **shard**, replica, leader, term; **entry** (what the log holds), **command** (what a
//! client wants of it), **outcome** (what applying it returns); transaction, read set, write set,
//! conflict; **component** (an uploaded WebAssembly program), **function** (one of its exports),
//! **call**, **fuel**; **digest** (chained hash of everything applied), **state hash** (over everything
//! stored), **verification** (how far a replica is with its state hash); **session**, **request id**;
//! **expectation** (what a read says must still be true), **operation** (one step of a transaction),
//! **lease** (keys attached to it go when its time is over), **tombstone** (a removed key, remembered);
//! **schedule** (a call that is made later), **profile** (the settings with which functions run);
//! **layer** (what some batches of entries changed, in memory), **flush** (writing layers to the file).
//! **coordinator** (the shard that decides a transaction across shards), **participant** (another one),
//! **large** (of components: above 2 MiB), **part** (of an upload of one),
//! **prepare**, **decide**, **attempt** (one try at such a transaction), **ticket** (names a prepare).
//! An entry is committed and applied; a transaction commits or aborts; a command is proposed.

pub mod defect;
pub mod limits;

mod apply;
mod builder;
mod codec;
mod command;
mod coordinator;
mod digest;
mod functions;
mod ids;
mod key;
mod lease;
mod locks;
mod message;
mod model;
mod outcome;
mod placement;
mod query;
mod read_ahead;
mod route;
mod scan_token;
mod schedule;
mod session;
mod signature;
mod state;
mod state_hash;
mod statistics;
mod tombstone;
mod transact;
mod two_phase;
mod uploads;
mod val;
mod write_command;

pub use apply::{Applied, Context, apply, check_reads, resolve};
pub use builder::{BuildError, TransactionBuilder};
pub use codec::{CodecError, FORM_REMEDY, decode, encode};
pub use command::{Call, Command, ComponentRef, Entry, RequestId, Upload, UploadPart};
pub use coordinator::{Action, Coordinator, Event, Reply, Split};
pub use digest::{Digest, DigestBuilder};
pub use functions::{CallEnd, CallInput, CallResult, Functions, NoFunctions};
pub use ids::{
    Caller, ComponentHash, Fuel, HashError, LeaseId, LogIndex, Name, NameError, NodeId, ProfileId,
    Revision, SessionId, ShardId, Timestamp, Version, ViewId,
};
pub use key::{Key, KeyError, KeyRange, Value, ValueError};
pub use lease::{LeaseChange, LeaseImage, Leases};
pub use locks::{LockChange, Locks, Prepared};
pub use message::{
    ClusterInfo, ComponentInfo, Consistency, DryRun, Item, LeaseInfo, Page, Queried, Query,
    Refused, ReplicaStatus, Request, Response, ScanRequest, ShardStatus, ViewInfo,
};
pub use model::Model;
pub use outcome::{Actual, ConflictError, GuestFault, OperationResult, Outcome, Refusal, Vote};
pub use placement::{
    PLACEMENT_KEY, PlacedNode, Placement, PlacementChange, PlacementError, Replicas,
};
pub use query::{Seen, query};
pub use read_ahead::{Need, ReadAhead};
pub use route::{ShardRouter, tag, tag_hash};
pub use scan_token::{ScanToken, ScanTokenError};
pub use schedule::{First, LastRun, NewSchedule, Schedule, ScheduleChange, Schedules};
pub use session::{SessionChange, SessionImage, Sessions};
pub use signature::{Field, FunctionSignature, Manifest, Type};
pub use state::{
    Alias, Canary, Fault, Header, Pointed, Record, Resident, ResidentChanges, State, View,
};
pub use state_hash::{StateHash, Verification, hash_state};
pub use statistics::{CallNote, CallNotes, Called, Ended, FunctionStatistics, Histogram};
pub use tombstone::{TombstoneChange, Tombstones};
pub use transact::{Compare, Expectation, Expiry, Operation, Read, Relation, Transact, WriteOp};
pub use two_phase::{Answer, Branch, Decide, Decision, Finish, Prepare, RanAcross, TxnId};
pub use uploads::{Staged, UploadChange, UploadId, Uploads};
pub use val::{Val, ValError, decode_vals, encode_vals};
pub use write_command::WriteCommand;
