//! The content of a store, as the text beside a golden folder names it.
//!
//! Promises that the text depends on the folder alone: the node's clock stands before everything that is
//! stored, so entry time does not go on and nothing becomes due. Digests are read before anything is
//! proposed. Leaves out bytes whose form a later build may change, such as encoded outcomes.

use std::fmt::Write;

use aspen_client::{KeyRange, LeaseId, ScanOptions};
use aspen_core::codec::decode;
use aspen_core::ids::{Revision, ShardId};
use aspen_core::protocol::{Consistency, Outcome, Request, Response};
use aspen_core::transaction::Read;

use crate::content::{TOLD, tags, told};
use crate::maker::Kind;
use crate::store::Store;

/// Longest value that is written out.
const SHOWN_BYTES_MAX: usize = 32;

/// The whole text. A store that was interrupted ends transactions across shards first, in an order that is
/// open: then digests and revisions are left out.
pub async fn text(store: &Store, kind: Kind) -> String {
    let mut text = format!("# {}\n", kind.description());
    if kind.is_settled() {
        text += &digests(store);
    }
    text += &content(store, kind.is_settled()).await;
    text
}

/// How far each shard is. Changes with each command that is proposed.
pub fn digests(store: &Store) -> String {
    let mut text = String::new();
    for shard in store.shards() {
        let status = store.node.shard_status(shard).unwrap();
        let (revision, digest, keys) = (status.revision, status.digest, status.keys);
        assert_eq!(status.failed, None);
        writeln!(text, "shard {shard}: revision {revision}, digest {digest}, {keys} keys").unwrap();
    }
    text
}

/// Everything that a client can see.
pub async fn content(store: &Store, with_revisions: bool) -> String {
    let cluster = store.client.cluster().await.unwrap();
    let (shards, nodes, epoch) = (cluster.shards, cluster.placement.nodes.len(), cluster.epoch);
    let mut text = format!("cluster: {shards} shards, {nodes} nodes, epoch {epoch}\n");
    text += &records(store, with_revisions).await;
    for (shard, tag) in store.shards().into_iter().zip(tags()) {
        text += &removed(store, shard, &tag).await;
    }
    text += &names(store).await;
    for sequence in 1..=TOLD {
        let outcome = match store.request(sequence, told(sequence)).await {
            Outcome::Committed { revision, time, .. } => format!("committed {revision} at {time}"),
            other => format!("{other:?}"),
        };
        writeln!(text, "request {sequence} again: {outcome}").unwrap();
    }
    text
}

/// All records, with the leases of those that have one.
async fn records(store: &Store, with_revisions: bool) -> String {
    let (client, mut text) = (&store.client, String::new());
    for item in client.scan(KeyRange::all(), ScanOptions::default()).await.unwrap() {
        let (key, record) = (item.key.as_bytes().escape_ascii(), item.record);
        write!(text, "{key} = {}, {}", shown(record.value.as_bytes()), record.version).unwrap();
        if with_revisions {
            let (created, changed) = (record.create_revision, record.mod_revision);
            write!(text, ", created {created}, changed {changed}").unwrap();
        }
        if record.lease != LeaseId::NONE {
            let shard = store.node.router().shard(item.key.as_bytes());
            let lease = aspen_client::Lease { shard, id: record.lease };
            let info = client.lease(lease).await.unwrap().expect("a key's lease exists");
            let (ttl, left, keys) = (info.ttl_ms, info.left_ms, info.keys.len());
            write!(text, ", lease {} of {ttl} ms, {left} left, {keys} keys", record.lease).unwrap();
        }
        text.push('\n');
    }
    text
}

fn shown(value: &[u8]) -> String {
    match value.len() {
        ..=SHOWN_BYTES_MAX => format!("\"{}\"", value.escape_ascii()),
        bytes => format!("{bytes} bytes {:016x}", seahash::hash(value)),
    }
}

/// The keys that a transaction which read the range of the removed ones at the beginning conflicts with:
/// those that came back, and those that are remembered.
async fn removed(store: &Store, shard: ShardId, tag: &str) -> String {
    let (start, end) = (format!("{tag}gone/"), format!("{tag}gone0"));
    let range = KeyRange { start: start.into(), end: Some(end.into()) };
    let read = Read::Range { range, unchanged_since: Revision::default(), shard: Some(shard) };
    let consistency = Consistency::Linearizable;
    let request = Request::Get { shard, keys: vec![], reads: vec![read], consistency };
    let Response::Outcome(outcome) = store.ask(&request).await else { panic!("no conflict") };
    let Outcome::Conflict { conflicts, .. } = decode(&outcome).unwrap() else {
        panic!("no conflict")
    };
    let keys = conflicts.iter().map(|conflict| conflict.key.as_bytes().escape_ascii().to_string());
    let keys: Vec<String> = keys.collect();
    format!("{shard} changed: {}\n", keys.join(" "))
}

/// The names with their components, and the schedules.
async fn names(store: &Store) -> String {
    let (client, mut text) = (&store.client, String::new());
    for component in client.components().await.unwrap() {
        let name = component.name.as_str();
        let history = client.history(name).await.unwrap().history;
        for pointed in history {
            writeln!(text, "{name} -> {} at {}", pointed.component, pointed.time).unwrap();
        }
        if let Some((canary, percent)) = component.canary {
            writeln!(text, "{name} -> {canary} for {percent} %").unwrap();
        }
        for function in client.describe(name).await.unwrap().functions {
            writeln!(text, "{name} has {function}").unwrap();
        }
    }
    for (name, schedule) in client.schedules().await.unwrap() {
        let (key, call) = (schedule.call.key.as_bytes().escape_ascii(), &schedule.call);
        let (due, every, runs) =
            (schedule.due, schedule.every_ms.unwrap_or_default(), schedule.runs);
        writeln!(
            text,
            "{name} calls {} {} for {key} at {due}, every {every} ms, {runs} runs",
            call.component, call.function,
        )
        .unwrap();
    }
    text
}
