//! A replica alone in its group, through openraft: writes, snapshots, purges, restarts, losses.

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aspen_core::protocol::{Command, Outcome};
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::impls::BasicNode;
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::storage::RaftLogReader;
use openraft::{Config, EntryPayload, OptionalSend, SnapshotPolicy};

use super::{SHARD, open_log, outcome, proposal, put, run, try_open_state, value};
use crate::types::{EncodedOutcome, RaftEntry};
use crate::{Log, Raft, Snapshot, SnapshotFile, StateReader, TypeConfig, Vote};

/// A network without anybody.
struct Nobody;

fn unreachable() -> Unreachable<TypeConfig> {
    Unreachable::new(&io::Error::other("nobody is there"))
}

impl RaftNetworkV2<TypeConfig> for Nobody {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        _rpc: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        Err(unreachable().into())
    }

    async fn vote(
        &mut self,
        _rpc: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        Err(unreachable().into())
    }

    async fn full_snapshot(
        &mut self,
        _vote: Vote,
        _snapshot: Snapshot,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        Err(unreachable().into())
    }
}

impl RaftNetworkFactory<TypeConfig> for Nobody {
    type Network = Nobody;

    async fn new_client(&mut self, _target: u64, _node: &BasicNode) -> Nobody {
        Nobody
    }
}

struct Replica {
    log: Log,
    raft: Raft,
    reader: StateReader,
}

impl Replica {
    async fn start(dir: &Path) -> Replica {
        let config = Config {
            heartbeat_interval: 20,
            election_timeout_min: 40,
            election_timeout_max: 80,
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: 5,
            enable_leader_restore: Some(false),
            ..Config::default()
        };
        let log = open_log(dir).unwrap();
        let shard = log.shard(SHARD);
        let (machine, reader) = try_open_state(dir, shard.purged()).unwrap();
        let raft = Raft::new(1, Arc::new(config), Nobody, shard, machine).await.unwrap();
        if !raft.is_initialized().await.unwrap() {
            let members = BTreeMap::from([(1, BasicNode::new("00@127.0.0.1:1"))]);
            raft.initialize(members).await.unwrap();
        }
        raft.wait(Some(Duration::from_secs(20))).current_leader(1, "leads").await.unwrap();
        Replica { log, raft, reader }
    }

    /// Proposes the content of `entry`; its place in the log is Raft's choice.
    async fn propose(&self, entry: RaftEntry) -> Outcome {
        let EntryPayload::Normal(proposal) = entry.payload else { panic!("not a proposal") };
        let EncodedOutcome(reply) = self.raft.client_write(proposal).await.unwrap().data;
        outcome(&reply)
    }

    async fn put(&self, count: u64) {
        for index in 1..=count {
            let outcome = self.propose(put(index, None, "counter", &index.to_string())).await;
            assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
        }
    }

    /// Makes a snapshot and waits until the log behind it is deleted.
    async fn snapshot(&self) {
        let applied = self.reader.status().applied.unwrap();
        self.raft.trigger().snapshot().await.unwrap();
        let wait = self.raft.wait(Some(Duration::from_secs(20)));
        let done = |metrics: &openraft::metrics::RaftMetrics<TypeConfig>| {
            metrics.purged.is_some_and(|purged| purged.index + 5 >= applied.index)
        };
        wait.metrics(done, "purged").await.unwrap();
    }

    async fn stop(self) {
        self.raft.shutdown().await.unwrap();
        drop(self.raft);
        self.reader.closed().await;
        self.log.close().await.unwrap();
    }
}

#[test]
fn storage_replica_restarts_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let replica = Replica::start(dir.path()).await;
        let opened = replica.propose(proposal(1, None, Command::OpenSession)).await;
        assert!(matches!(opened, Outcome::SessionOpened { .. }));
        let first = replica.propose(put(2, Some(1), "once", "1")).await;
        replica.put(50).await;
        replica.snapshot().await;
        replica.put(20).await;
        replica.stop().await;
        let replica = Replica::start(dir.path()).await;
        assert_eq!(value(&replica.reader, "counter").as_deref(), Some("20"));
        let again = replica.propose(put(90, Some(1), "once", "2")).await;
        assert_eq!(again, first, "a repeat gets the first outcome, also after a restart");
        assert_eq!(value(&replica.reader, "once").as_deref(), Some("1"));
        replica.stop().await;
    });
}

/// Every point at which a replica can lose its state file ends with the same content, rebuilt from
/// the whole log or from the snapshot and the log after it.
#[test]
fn storage_replica_rebuilds_a_lost_state() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        for round in 0..3u64 {
            let replica = Replica::start(dir.path()).await;
            replica.put(30 + round).await;
            if round == 1 {
                replica.snapshot().await;
                replica.put(40).await;
            }
            let header = replica.reader.status().header;
            let mut log = replica.log.shard(SHARD);
            let first = log.try_get_log_entries(..).await.unwrap()[0].log_id.index;
            assert_eq!(first > 0, round > 0, "the log was purged");
            drop(log);
            replica.stop().await;
            for file in fs::read_dir(dir.path().join("s0")).unwrap() {
                let path = file.unwrap().path();
                if path.file_name().unwrap().to_string_lossy().starts_with("state") {
                    fs::remove_file(path).unwrap();
                }
            }
            let replica = Replica::start(dir.path()).await;
            assert_eq!(replica.reader.status().header, header, "round {round}");
            replica.stop().await;
        }
    });
}
