//! The settings that a node starts from: its identity, its files, its timing and its clock.
//!
//! Leaves out the bounds that no operator sets (`limits.rs`) and the file of the identity
//! (`folder.rs`).

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use openraft::{Config, SnapshotPolicy};
use snafu::ResultExt;

use crate::error::{NodeError, RaftSnafu};
use crate::folder::Identity;
use crate::limits::{APPEND_ENTRIES_MAX, DIGEST_CHECK, HEARTBEAT_SHARE, LOG_KEEP, SNAPSHOT_EVERY};

/// The times after which a node acts, and how often it makes snapshots.
///
/// With many shards heartbeats are rarer than this, and elections later, so that an idle shard
/// costs next to nothing: from 50 shards on each has a heartbeat every 4 ms times the number of
/// shards.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// The time between two heartbeats of a leader.
    pub heartbeat: Duration,
    /// A follower waits between this and twice this for a leader before it stands for election.
    pub election: Duration,
    /// Entries between two snapshots.
    pub snapshot_every: u64,
    /// Entries kept behind a snapshot.
    pub log_keep: u64,
    /// The time between two comparisons of digests with the other voters.
    pub digest_check: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(200),
            election: Duration::from_millis(1000),
            snapshot_every: SNAPSHOT_EVERY,
            log_keep: LOG_KEEP,
            digest_check: DIGEST_CHECK,
        }
    }
}

/// The settings that a node starts from.
pub struct NodeConfig {
    /// The node's identity, from its folder.
    pub identity: Identity,
    /// Folder of the shards' states.
    pub states: PathBuf,
    pub timing: Timing,
    pub clock: Clock,
}

/// A machine's clock: stamps the entries that its node proposes. Nothing else reads the clock.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    ahead_ms: Arc<AtomicI64>,
}

impl Clock {
    /// The clock of the system.
    pub fn system() -> Clock {
        Clock::default()
    }

    /// Lets the clock run `ahead_ms` ahead of the system's: machines' clocks never agree.
    pub fn set_ahead(&self, ahead_ms: i64) {
        self.ahead_ms.store(ahead_ms, Ordering::Relaxed);
    }

    /// Returns the milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = since.map_or(0, |since| since.as_millis() as u64);
        now.saturating_add_signed(self.ahead_ms.load(Ordering::Relaxed))
    }
}

/// Returns the timing as openraft takes it.
pub fn raft_config(timing: &Timing, shards: u16, cluster: u128) -> Result<Config, NodeError> {
    let heartbeat = timing.heartbeat.max(HEARTBEAT_SHARE * u32::from(shards));
    // A heartbeat that is lost or late must not cost the lead.
    let election = timing.election.max(heartbeat * 3 / 2);
    let (heartbeat, election) = (heartbeat.as_millis() as u64, election.as_millis() as u64);
    let config = Config {
        cluster_name: format!("{cluster:032x}"),
        heartbeat_interval: heartbeat,
        election_timeout_min: election,
        election_timeout_max: 2 * election,
        max_payload_entries: APPEND_ENTRIES_MAX,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(timing.snapshot_every),
        max_in_snapshot_log_to_keep: timing.log_keep,
        // A restarted leader must not lead its old term without an election.
        enable_leader_restore: Some(false),
        // A node that was cut off must not depose a working leader when it comes back.
        enable_pre_vote: Some(true),
        ..Config::default()
    };
    config.validate().boxed().context(RaftSnafu { what: "the timing makes no sense" })
}
