//! The disk of one node fills up, in the middle of an upload, while the others have room.
//!
//! The node must stop its replica, say why, and end when it is asked to; the others go on without it. With
//! room again a restart lets it catch up: nothing that it promised before is lost.

use std::cell::Cell;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use aspen_client::{Client, UploadProgress};
use aspen_tests::guests::{component, padded};
use aspen_tests::load::{Load, must_be_good};
use aspen_tests::small_disk::SmallDisk;
use tokio_real as tokio;

use crate::nodes::{NODES, Nodes, PATIENCE, own_address};

const DISK_MEGABYTES: u32 = 64;
/// Bytes of the values that fill the reserved room of files; few enough that the others' logs stay small.
const VALUE_BYTES: usize = 50_000;
/// Bytes of the component, uploaded in parts of 1 MiB, of which the first finds room.
const COMPONENT_BYTES: usize = 4 << 20;
const CLIENTS: u64 = 3;
const ACKNOWLEDGED: usize = 25;
/// The node whose disk it is.
const VICTIM: usize = NODES - 1;

#[tokio::test(flavor = "multi_thread")]
async fn process_cluster_node_on_a_full_disk_halts_and_catches_up_with_room() {
    let mut disk = Err("not tried".to_string());
    let mount = |dir: &Path| disk = SmallDisk::mount(dir, DISK_MEGABYTES);
    let mut nodes = Nodes::start_on(own_address(), mount).await;
    let disk = match disk {
        Ok(disk) => disk,
        Err(reason) => {
            println!("NOT RUN: the test of a node on a full disk: {reason}");
            return;
        }
    };
    let load = Load::start(nodes.ticket(), CLIENTS, Duration::from_millis(5)).await;
    load.acknowledged(ACKNOWLEDGED).await;
    let client = nodes.client().await;
    let filler = disk.path().join("filler");
    let is_full = Cell::new(false);
    let fill_once = |_: UploadProgress| {
        if !is_full.replace(true) {
            fill(&filler);
        }
    };
    let bank = padded(&component("bank"), COMPONENT_BYTES);
    let hash = client.upload_with("bank", bank, fill_once).await.expect("the others have room");
    let reason = write_until_halted(&client).await;
    println!("the node says: {reason}");
    // Chance decides which fails first, log or state.
    let (log, state) = ("writing failed: I/O error: No space left", "database or disk is full");
    assert!(reason.contains(log) || reason.contains(state), "{reason}");
    let folder = disk.path().to_str().unwrap();
    assert!(reason.contains(folder), "it names the file: {reason}");

    let others: Vec<usize> = (0..NODES).filter(|node| *node != VICTIM).collect();
    nodes.leader_among(&client, &others).await;
    load.acknowledged(4 * ACKNOWLEDGED).await;
    // A start without room may fail or halt; it must not do harm.
    nodes.interrupt(VICTIM);
    nodes.restart(VICTIM);
    load.acknowledged(ACKNOWLEDGED).await;
    nodes.end(VICTIM);

    std::fs::remove_file(&filler).unwrap();
    nodes.restart(VICTIM);
    nodes.ready(VICTIM);
    load.acknowledged(ACKNOWLEDGED).await;
    assert_eq!(client.describe("bank").await.unwrap().component, hash);
    client.call("bank", "touch", "a", &[]).await.unwrap();
    client.close().await;
    let history = load.finish().await;
    nodes.must_be_equal().await;
    must_be_good(env!("CARGO_TARGET_TMPDIR"), "full_disk", &history);
    // The processes go before the disk that they use.
    drop(nodes);
    drop(disk);
}

/// Leaves no room on the disk of this file.
fn fill(path: &Path) {
    let mut file = std::fs::File::create(path).unwrap();
    let mut bytes = 1 << 20;
    while bytes > 0 {
        if file.write_all(&vec![0; bytes]).is_err() {
            bytes /= 2;
        }
    }
}

/// Writes until the node's replica has failed, and gives the reason it tells.
async fn write_until_halted(client: &Client) -> String {
    let (value, end) = ("v".repeat(VALUE_BYTES), Instant::now() + PATIENCE);
    loop {
        client.put("big", &value).await.expect("the others serve");
        for (_, status) in client.status().await {
            let Ok(status) = status else { continue };
            if let Some(reason) = status.shards[0].failed.clone() {
                assert_eq!(status.node.get() as usize - 1, VICTIM, "{reason}");
                return reason;
            }
        }
        assert!(Instant::now() < end, "the node goes on without a disk");
    }
}
