//! Entries of a stopped node's log, run once more: what happened then, and nothing changes.

use std::collections::BTreeMap;
use std::path::Path;

use aspen_client::{CallError, Client, Val, WriteOp};
use aspen_core::ids::{LogIndex, ShardId};
use aspen_core::protocol::{Command, Outcome};
use aspen_core::val::decode_vals;
use aspen_node::{ReplayError, ReplayReport, Timing, replay};
use aspen_tests::cluster::Cluster;
use aspen_tests::guests::component;

const SHARD: ShardId = ShardId::new(0);

async fn transfer(client: &Client, cents: u64) -> Result<(), CallError> {
    let args = [Val::from("ada"), "ben".into(), cents.into()];
    client.call("bank", "transfer", "account/ada", &args).await.map(|_| ())
}

/// The content of all files of a folder.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.is_file());
    files.map(|path| (path.display().to_string(), std::fs::read(path).unwrap())).collect()
}

/// The last entry of the log of node 0.
fn last(cluster: &Cluster) -> LogIndex {
    cluster.servers[0].as_ref().unwrap().node().shard_status(SHARD).unwrap().last
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_tells_what_a_call_did_on_every_node_and_changes_no_file() {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    client.upload("bank", component("bank")).await.unwrap();
    for name in ["ada", "ben"] {
        let args = [Val::from(name), 100u64.into()];
        client.call("bank", "open", "account/ada", &args).await.unwrap();
    }
    transfer(&client, 30).await.unwrap();
    assert!(matches!(transfer(&client, 1_000).await, Err(CallError::Aborted { .. })));
    client.put("other", "key").await.unwrap();
    cluster.equal_digests().await;
    let last = last(&cluster).get();
    client.close().await;
    for node in 0..3 {
        cluster.stop_node(node).await;
        let data = cluster.folder(node);
        let before = files(&data.join("shard-0"));
        let at = |index| replay(&data, SHARD, index);
        // Raft's own stand between them, one for each leader there was.
        let ours = (0..=last).filter_map(|index| match at(index) {
            Err(ReplayError::NotOurs { .. }) => None,
            replayed => Some(replayed.unwrap()),
        });
        let ours: Vec<ReplayReport> = ours.collect();
        let is_write =
            |replayed: &&ReplayReport| matches!(replayed.entry.command, Command::Transact(_));
        assert!(ours.iter().find(is_write).unwrap().call.is_none());
        let transfers = ours.into_iter().filter(|replayed| match &replayed.entry.command {
            Command::Call(call) => call.function == "transfer",
            _ => false,
        });
        let [done, refused]: [ReplayReport; 2] = transfers.collect::<Vec<_>>().try_into().unwrap();
        let Outcome::Aborted { error, .. } = &refused.outcome else { panic!("{refused:?}") };
        assert_eq!(decode_vals(error).unwrap(), [Val::from("account ada has only 70")]);
        let (_, did, _) = refused.call.unwrap();
        assert_eq!(did.writes, []);

        let Outcome::Returned { fuel, writes: 2, .. } = done.outcome else { panic!("{done:?}") };
        let (_, did, used) = done.call.unwrap();
        assert_eq!(used, fuel);
        let reads = did.reads.iter().map(|(key, version)| (key.to_string(), version.get()));
        let reads: Vec<_> = reads.collect();
        assert_eq!(reads, [("account/ada".to_string(), 1), ("account/ben".to_string(), 1)]);
        let cents = |write: &WriteOp| match write {
            WriteOp::Set { value, .. } => u64::from_le_bytes(value.as_bytes().try_into().unwrap()),
            _ => panic!("{write:?}"),
        };
        assert_eq!(did.writes.iter().map(cents).collect::<Vec<_>>(), [70, 130]);

        let beyond = at(last + 1_000).unwrap_err();
        assert!(matches!(beyond, ReplayError::NotThere { .. }), "{beyond}");
        let none = replay(&data, ShardId::new(7), 1).unwrap_err();
        assert!(matches!(none, ReplayError::NoReplica { .. }), "{none}");
        assert_eq!(files(&data.join("shard-0")), before);
        cluster.start_node(node).await;
        let in_use = at(last).unwrap_err();
        assert!(in_use.to_string().contains("in use by another process"), "{in_use}");
    }
    let nowhere = tempfile::tempdir().unwrap();
    assert!(replay(nowhere.path(), SHARD, 1).is_err());
    assert_eq!(std::fs::read_dir(nowhere.path()).unwrap().count(), 0, "nothing is made there");
    cluster.equal_digests().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_begins_at_the_snapshot_and_says_what_is_gone() {
    let timing = Timing { snapshot_every: 40, log_keep: 5, ..Timing::default() };
    let mut cluster = Cluster::with_shards(1, 1, timing).await;
    let client = cluster.client().await;
    client.upload("bank", component("bank")).await.unwrap();
    for name in ["ada", "ben"] {
        let args = [Val::from(name), 100_000u64.into()];
        client.call("bank", "open", "account/ada", &args).await.unwrap();
    }
    let snapshot = |cluster: &Cluster| {
        let server = cluster.servers[0].as_ref().unwrap();
        server.node().shard_status(SHARD).unwrap().snapshot
    };
    let mut done = 0u64;
    while snapshot(&cluster).get() < 60 {
        transfer(&client, 1).await.unwrap();
        done += 1;
    }
    transfer(&client, 1).await.unwrap();
    done += 1;
    // Nobody else writes, and the only node keeps its lead.
    let last = last(&cluster);
    client.close().await;
    cluster.stop_node(0).await;
    let data = cluster.folder(0);
    let replayed = replay(&data, SHARD, last.get()).unwrap();
    let (_, did, _) = replayed.call.unwrap();
    let versions: Vec<u64> = did.reads.iter().map(|(_, version)| version.get()).collect();
    assert_eq!(versions, [done, done], "each transfer before it wrote both");
    let gone = replay(&data, SHARD, 10).unwrap_err();
    let text = gone.to_string();
    assert!(text.contains("entry 10 of s0 cannot be run again: the log has"), "{text}");
    cluster.start_node(0).await;
    cluster.stop().await;
}
