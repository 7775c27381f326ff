//! One entry of a stopped node's log, run once more: its reads, writes, log lines and outcome.
//!
//! Promises the same result as then, by the same code on the same state: the entry has time, chance
//! and caller in it. The node's files stay as they are. Leaves out entries that only the snapshot
//! holds any more, and calls across shards, whose function ran in the background.

use std::ops::Range;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::{io, thread};

use aspen_core::apply::{AppliedEntry, ReadTrace};
use aspen_core::codec::decode;
use aspen_core::function::{Call, CallInput, CallResult, Functions};
use aspen_core::ids::{Caller, ComponentHash, Fuel, ProfileId, ShardId};
use aspen_core::placement::ShardRouter;
use aspen_core::protocol::{DryRun, Entry, Outcome};
use aspen_core::view::{HostError, View};
use aspen_functions::{EngineError, Options, WasmFunctions};
use aspen_store::{APPLY_STACK_BYTES, Log, LogId, Replay, ShardLog, StateConfig, StoreError};
use bytes::Bytes;
use futures::executor::block_on;
use openraft::RaftLogReader;
use snafu::{OptionExt, ResultExt, Snafu, ensure};

use crate::error::FolderError;
use crate::folder::Folder;

/// Entries read at a time.
const READ_ENTRIES: u64 = 256;

/// The report of an entry that was run again.
#[derive(Debug)]
pub struct ReplayReport {
    pub entry: Entry,
    pub outcome: Outcome,
    /// For a call: the component, its reads, writes and log lines, and the fuel it used. `None` if
    /// the call was not run: it was refused, or repeats a request.
    pub call: Option<(ComponentHash, DryRun, Fuel)>,
    /// The call and the caller who scheduled it, if a schedule made the call.
    pub scheduled: Option<(Call, Caller)>,
}

/// An entry cannot be run again.
#[derive(Debug, Snafu)]
#[snafu(visibility(pub(crate)))]
pub enum ReplayError {
    /// The folder cannot be used.
    #[snafu(display("{source}"))]
    ReplayFolder { source: FolderError },
    /// The shard has no replica there.
    #[snafu(display("{} has no replica of {shard}", path.display()))]
    NoReplica { path: PathBuf, shard: ShardId },
    /// Log, snapshot or state cannot be read.
    #[snafu(display("{source}"))]
    ReplayStore { source: StoreError },
    /// The entry cannot be read or applied.
    #[snafu(display("cannot {what}: {source}"))]
    ReplayIo { what: &'static str, source: io::Error },
    /// The engine for functions does not start.
    #[snafu(display("{source}"))]
    ReplayEngine { source: EngineError },
    /// The entry is not in the log.
    #[snafu(display("entry {index} of {shard} cannot be run again: {}", first_to_last(there)))]
    NotThere {
        shard: ShardId,
        index: u64,
        /// The entries that can be run again.
        there: Range<u64>,
    },
    /// Raft made the entry for itself.
    #[snafu(display("entry {index} of {shard} is Raft's own: it names a leader or members"))]
    NotOurs { shard: ShardId, index: u64 },
}

/// Runs entry `index` of `shard` again, from the folder of a node that does not run. Takes the time
/// of all entries since the snapshot, and as much room in the system's folder for temporary files
/// as the shard's state.
pub fn replay(data: &Path, shard: ShardId, index: u64) -> Result<ReplayReport, ReplayError> {
    thread::scope(|scope| {
        // Functions need the stack that they have in apply.
        let thread = thread::Builder::new().stack_size(APPLY_STACK_BYTES);
        let thread = thread.spawn_scoped(scope, || replay_here(data, shard, index));
        let thread = thread.context(ReplayIoSnafu { what: "start a thread" })?;
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

fn replay_here(data: &Path, shard: ShardId, index: u64) -> Result<ReplayReport, ReplayError> {
    let folder = Folder::open_existing(data).context(ReplayFolderSnafu)?;
    let identity = folder.identity().context(ReplayFolderSnafu)?;
    let from = data.join(format!("shard-{}", shard.get()));
    ensure!(from.exists(), NoReplicaSnafu { path: data, shard });
    let scratch = tempfile::tempdir().context(ReplayIoSnafu { what: "make a temporary folder" })?;
    let log_file = folder.log_file().context(ReplayFolderSnafu)?;
    let log = Log::open(log_file, identity.store()).context(ReplayStoreSnafu)?;
    let router = ShardRouter::new(identity.shards).ok();
    let config = StateConfig {
        dir: scratch.path().to_path_buf(),
        shard,
        router: router.context(NoReplicaSnafu { path: data, shard })?,
        identity: identity.store(),
        purged: None,
    };
    let replay = Replay::open(&from, config).context(ReplayStoreSnafu)?;
    let replayed = run(replay, log.shard(shard), shard, index);
    let closed = block_on(log.close()).context(ReplayIoSnafu { what: "close the log" });
    closed.and(replayed)
}

fn first_to_last(there: &Range<u64>) -> String {
    match there.is_empty() {
        true => "what was before is only in the snapshot, and there is nothing after it".into(),
        false => format!("the log has {} to {} since the snapshot", there.start, there.end - 1),
    }
}

fn run(
    mut replay: Replay,
    mut log: ShardLog,
    shard: ShardId,
    index: u64,
) -> Result<ReplayReport, ReplayError> {
    let after = |log_id: Option<LogId>| log_id.map_or(0, |log_id| log_id.index + 1);
    let (first, end) = (after(replay.applied()), after(log.last()));
    // The log is deleted only up to a snapshot: otherwise that snapshot is damaged.
    let there = if after(log.purged()) <= first { first..end } else { end..end };
    ensure!(there.contains(&index), NotThereSnafu { shard, index, there });
    let functions = WasmFunctions::new(Options::default()).context(ReplayEngineSnafu)?;
    let functions = Recorder { functions, call: Mutex::default() };
    let mut next = first;
    loop {
        let upto = (next + READ_ENTRIES).min(index + 1);
        let entries = block_on(log.try_get_log_entries(next..upto));
        for entry in entries.context(ReplayIoSnafu { what: "read the log" })? {
            let is_wanted = entry.log_id.index == index;
            functions.take();
            let applied = replay.apply(&functions, entry);
            let applied = applied.context(ReplayIoSnafu { what: "apply an entry" })?;
            if is_wanted {
                let (entry, applied) = applied.context(NotOursSnafu { shard, index })?;
                return replayed(entry, applied, functions.take());
            }
        }
        next = upto;
    }
}

fn replayed(
    entry: Entry,
    applied: AppliedEntry,
    call: Option<(ComponentHash, DryRun, Fuel)>,
) -> Result<ReplayReport, ReplayError> {
    let outcome = decode(&applied.outcome).map_err(io::Error::other);
    let outcome = outcome.context(ReplayIoSnafu { what: "read the outcome" })?;
    let scheduled = applied.called.and_then(|called| called.scheduled).map(|made| *made);
    Ok(ReplayReport { entry, outcome, call, scheduled })
}

/// Runs functions, and keeps the reads, writes and log lines of the last call.
struct Recorder {
    functions: WasmFunctions,
    call: Mutex<Option<(ComponentHash, DryRun, Fuel)>>,
}

impl Recorder {
    fn take(&self) -> Option<(ComponentHash, DryRun, Fuel)> {
        self.call.lock().expect("no panic under the lock").take()
    }
}

impl Functions for Recorder {
    fn call(&self, view: &dyn View, input: &CallInput<'_>) -> Result<CallResult, HostError> {
        let seen = ReadTrace::new(view);
        let result = self.functions.call(&seen, input)?;
        let (reads, more_reads) = seen.into_reads();
        let (writes, log) = (result.writes.clone(), result.log.clone());
        let did = DryRun { reads, more_reads, writes, log };
        let call = (input.component, did, result.fuel);
        *self.call.lock().expect("no panic under the lock") = Some(call);
        Ok(result)
    }

    fn runs(&self, profile: ProfileId) -> bool {
        self.functions.runs(profile)
    }

    fn prepare(&self, _component: &ComponentHash, _bytes: &Bytes) {}
}
