//! The ids of requests and of attempts: [`RequestId`] and [`TxnId`].
//!
//! A request id makes a repeat of the request harmless; the rules are those of sessions
//! (`state/session.rs`). A transaction id names one attempt at a transaction across shards.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::number::{SessionId, ShardId, Timestamp};

/// The id of one request of one session: the request is applied once, however often it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestId {
    /// The session; it was opened on the same shard.
    pub session: SessionId,
    /// 1, 2, 3, ... within the session; requests in flight may arrive in any order.
    pub sequence: u64,
    /// The client has the outcomes of all sequence numbers below this one: the shard may forget
    /// them.
    pub acknowledged: u64,
}

/// The id of one attempt at a transaction across shards. Ordered by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TxnId {
    /// Entry time of the coordinator's shard when the attempt began.
    pub begun: Timestamp,
    /// The shard that decides.
    pub coordinator: ShardId,
    /// A random number: tells apart attempts that began together.
    pub nonce: u64,
}

impl fmt::Display for TxnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{:016x}", self.coordinator, self.begun, self.nonce)
    }
}
