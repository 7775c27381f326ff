//! Claims about the store as a whole, and the functions that the tests share.

mod buffer;
mod conformance;
mod disk;
mod divergence;
mod equality;
mod flush;
mod fuzz_snapshot;
mod log;
mod pinned;
mod raft;
mod recovery;
mod snapshot;
mod verification;
mod workers;

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aspen_core::function::NoFunctions;
use aspen_core::ids::{Caller, LogIndex, NodeId, RequestId, SessionId, ShardId, Timestamp};
use aspen_core::key::{Key, Value};
use aspen_core::placement::ShardRouter;
use aspen_core::protocol::{Command, Outcome};
use aspen_core::state::Verification;
use aspen_core::transaction::{Transact, WriteOp};
use aspen_core::view::Record;
use bytes::Bytes;
use openraft::async_runtime::AsyncRuntime;
use openraft::impls::leader_id_adv::LeaderId;
use openraft::storage::{IOFlushed, RaftLogStorage, RaftStateMachine};
use openraft::{EntryPayload, Membership};
use tokio::sync::oneshot;

use crate::types::RaftEntry;
use crate::{
    Identity, Log, LogId, Proposal, Runtime, ShardLog, StateConfig, StateMachine, StateReader,
    StoreError, TypeConfig,
};

pub const SHARD: ShardId = ShardId::new(0);
pub const ME: Identity = Identity { cluster: 7, node: NodeId::new(1) };

pub fn run<T>(test: impl Future<Output = T>) -> T {
    Runtime::run(test)
}

pub fn log_id(term: u64, index: u64) -> LogId {
    LogId { leader_id: LeaderId { term, node_id: 1 }, index }
}

pub fn entry(term: u64, index: u64, bytes: usize) -> RaftEntry {
    normal(term, index, Bytes::from(vec![index as u8; bytes]))
}

pub fn normal(term: u64, index: u64, bytes: Bytes) -> RaftEntry {
    RaftEntry { log_id: log_id(term, index), payload: EntryPayload::Normal(Proposal(bytes)) }
}

pub fn members(index: u64, ids: &[u64]) -> RaftEntry {
    let ids: BTreeSet<u64> = ids.iter().copied().collect();
    let membership = Membership::new_with_defaults(vec![ids], []);
    RaftEntry { log_id: log_id(1, index), payload: EntryPayload::Membership(membership) }
}

/// An entry that sets `key` to `value` as request `sequence` of session 1, or outside of sessions.
pub fn put(index: u64, sequence: Option<u64>, key: &str, value: &str) -> RaftEntry {
    let request = sequence.map(|sequence| RequestId {
        session: SessionId::new(1),
        sequence,
        acknowledged: 0,
    });
    let (key, value) = (Key::try_from(key).unwrap(), Value::try_from(value).unwrap());
    let command = Command::Transact(Transact::writes([WriteOp::set(key, value)]));
    proposal(index, request, command)
}

pub fn proposal(index: u64, request: Option<RequestId>, command: Command) -> RaftEntry {
    let (stamp, caller) = (Timestamp::new(index * 10), Caller::LOCAL);
    let entry = aspen_core::protocol::Entry { stamp, seed: index, caller, request, command };
    normal(1, index, aspen_core::codec::encode(&entry))
}

pub fn open_log(dir: &Path) -> Result<Log, StoreError> {
    Log::open(dir.join("log.redb"), ME)
}

pub fn open_state(dir: &Path) -> (StateMachine, StateReader) {
    try_open_state(dir, None).unwrap()
}

pub fn try_open_state(
    dir: &Path,
    purged: Option<LogId>,
) -> Result<(StateMachine, StateReader), StoreError> {
    StateMachine::open(config(dir, purged), Arc::new(NoFunctions))
}

/// Opens a state that begins a flush when `memtable_bytes_max` bytes are not in its file.
pub fn open_bounded(dir: &Path, memtable_bytes_max: usize) -> (StateMachine, StateReader) {
    let functions = Arc::new(NoFunctions);
    StateMachine::open_bounded(config(dir, None), functions, memtable_bytes_max).unwrap()
}

fn config(dir: &Path, purged: Option<LogId>) -> StateConfig {
    let router = ShardRouter::new(1).unwrap();
    let (dir, shard, identity) = (dir.join("s0"), SHARD, ME);
    StateConfig { dir, shard, router, identity, purged }
}

/// Copies the disk of an open state as a crash at this moment would leave it. The write-ahead log only
/// grows during the copy, so a flush that runs is in the copy as a whole or not at all.
pub fn crashed_copy(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    std::fs::create_dir(copy.path().join("s0")).unwrap();
    for file in std::fs::read_dir(dir.join("s0")).unwrap() {
        let file = file.unwrap();
        if !file.file_name().to_string_lossy().ends_with("-shm") {
            std::fs::copy(file.path(), copy.path().join("s0").join(file.file_name())).unwrap();
        }
    }
    copy
}

/// Closes a state so that its folder can be opened again.
pub async fn close_state(machine: StateMachine, reader: StateReader) {
    drop(machine);
    reader.closed().await;
}

pub async fn apply(machine: &mut StateMachine, entries: Vec<RaftEntry>) -> io::Result<()> {
    let entries = entries.into_iter().map(|entry| Ok((entry, None)));
    machine.apply(futures::stream::iter(entries)).await
}

/// Appends entries; the receiver tells when they are on disk.
pub async fn append(log: &mut ShardLog, entries: Vec<RaftEntry>) -> Flushed {
    let (done, flushed) = <openraft_rt_tokio::TokioOneshot as openraft_rt::Oneshot>::channel();
    log.append(entries, IOFlushed::<TypeConfig>::signal(done)).await.unwrap();
    flushed
}
pub type Flushed = oneshot::Receiver<io::Result<()>>;

pub fn read(reader: &StateReader, key: &str) -> Option<Record> {
    let key = Key::try_from(key).unwrap();
    reader.read(|view, _| view.get(&key)).unwrap()
}

pub fn value(reader: &StateReader, key: &str) -> Option<String> {
    let record = read(reader, key)?;
    Some(String::from_utf8(record.value.as_bytes().to_vec()).unwrap())
}

/// Waits for the hash that the entry of this index asked for.
pub async fn verified(reader: &StateReader, index: u64) -> Verification {
    loop {
        match reader.verification(LogIndex::new(index)) {
            Verification::Running { .. } => Runtime::sleep(Duration::from_millis(1)).await,
            found => return found,
        }
    }
}

pub fn outcome(bytes: &Bytes) -> Outcome {
    aspen_core::codec::decode(bytes).unwrap()
}
