//! From a shard's folder and its part of the log to a running replica.
//!
//! Promises that a replica starts from a state, a snapshot and a log that fit together. Leaves out
//! the recovery of a state that is lost (`placement/recover.rs`).

use std::path::PathBuf;
use std::sync::Arc;

use aspen_core::ids::ShardId;
use aspen_core::placement::ShardRouter;
use aspen_functions::WasmFunctions;
use aspen_net::Transport;
use aspen_store::{Log, Runtime, StateConfig, StateMachine};
use openraft::Config;
use openraft::async_runtime::AsyncRuntime;
use snafu::ResultExt;
use tokio::sync::Semaphore;

use crate::admission::{AdmissionControl, Executor};
use crate::error::{NodeError, RaftSnafu};
use crate::folder::Identity;
use crate::peer::ShardNetwork;
use crate::replica::Replica;

// Functions run on the threads that apply.
const _: () = assert!(aspen_store::APPLY_STACK_BYTES >= aspen_functions::STACK_BYTES);

/// Opens and deletes replicas: holds the parts that all replicas of a node are opened with.
pub struct ReplicaOpener {
    pub identity: Identity,
    pub router: ShardRouter,
    /// Folder of the shards' states.
    pub states: PathBuf,
    pub log: Log,
    pub raft: Arc<Config>,
    pub transport: Arc<dyn Transport>,
    pub functions: Arc<WasmFunctions>,
    pub admission: Arc<AdmissionControl>,
    /// Lets [`OPEN_AT_ONCE`](crate::limits::OPEN_AT_ONCE) states be opened at a time.
    pub at_once: Semaphore,
}

impl ReplicaOpener {
    /// Returns the folder of a shard.
    pub fn dir(&self, shard: ShardId) -> PathBuf {
        match shard {
            ShardId::SYSTEM => self.states.join("system"),
            shard => self.states.join(format!("shard-{}", shard.get())),
        }
    }

    /// Returns the connections to a shard's other replicas.
    pub fn net(&self, shard: ShardId) -> ShardNetwork {
        let (transport, cluster) = (self.transport.clone(), self.identity.cluster);
        ShardNetwork { transport, cluster, shard }
    }

    /// Deletes the log and the state of a replica that was stopped, but not its vote.
    pub async fn delete(&self, shard: ShardId) -> Result<(), NodeError> {
        let forgotten = self.log.shard(shard).forget().await;
        forgotten.boxed().context(RaftSnafu { what: "its log cannot be deleted" })?;
        let dir = self.dir(shard);
        let deleted = Runtime::spawn_blocking(move || aspen_store::remove_folder(&dir)).await;
        deleted.boxed().context(RaftSnafu { what: "deleting the state panicked" })??;
        Ok(())
    }

    /// Opens the state of a shard and joins the Raft group.
    pub async fn open(&self, shard: ShardId) -> Result<Replica, NodeError> {
        let mut log = self.log.shard(shard);
        let state = StateConfig {
            dir: self.dir(shard),
            shard,
            // The system group's keys are its own.
            router: match shard {
                ShardId::SYSTEM => ShardRouter::new(1).expect("one shard is allowed"),
                _ => self.router,
            },
            identity: self.identity.store(),
            purged: log.purged(),
        };
        let functions = self.functions.clone();
        let permit = self.at_once.acquire().await.expect("it is never closed");
        // Opening may copy a whole snapshot.
        let opened = Runtime::spawn_blocking(move || StateMachine::open(state, functions)).await;
        drop(permit);
        let (mut machine, reader) =
            opened.boxed().context(RaftSnafu { what: "opening the state panicked" })??;
        let (admission, executor) = (self.admission.clone(), Executor::apply(shard));
        reader.watch_calls(Box::new(move |call, took, fuel| {
            admission.note_run(executor, call, took, fuel);
        }));
        let fitted = log.fit(reader.status().applied).await;
        let deleted = fitted.boxed();
        let deleted = deleted.context(RaftSnafu { what: "the log does not take the state" })?;
        let covered = machine.cover(deleted).await;
        covered.boxed().context(RaftSnafu { what: "a snapshot cannot be built" })?;
        let (id, net) = (self.identity.node.get(), self.net(shard));
        let made = openraft::Raft::new(id, self.raft.clone(), net.clone(), log, machine);
        let raft = made.await.boxed().context(RaftSnafu { what: "Raft does not start" })?;
        raft.runtime_config().elect(self.log.shard(shard).promised().is_none());
        let log = self.log.shard(shard);
        Ok(Replica::new(shard, raft, reader, log, net))
    }
}
