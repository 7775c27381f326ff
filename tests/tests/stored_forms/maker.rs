//! Makes the golden folders, of what this build writes.
//!
//! ```text
//! stopped       filled, a snapshot of each shard, stopped in good order: all is in the states' files
//! killed        opened again and written to; copied while it runs, as a kill -9 leaves it
//! interrupted   `stopped` once more, stopped in the middle of transactions across shards
//! ```
//!
//! Promises that each folder holds what its name says, by a look at its files, and that what is read
//! from it again is what the node said that wrote it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::task::JoinSet;

use crate::content::{self, BASE, BEFORE, MINUTE, PAIRS, SHARDS, pair, tags};
use crate::pack::{self, Files};
use crate::reading;
use crate::store::{NO_SNAPSHOTS, Store, until};

/// Which of the three folders of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Stopped,
    Killed,
    Interrupted,
}

/// Entries between two snapshots while the store is filled: fewer than a shard gets.
const SNAPSHOT_EVERY: u64 = 25;

/// How long a node is left alone until its sweeps have found that nothing is left to do.
const QUIET: Duration = Duration::from_secs(4);

/// How long transactions across shards go on before the node is stopped.
const UNDISTURBED: Duration = Duration::from_millis(20);

/// Tries to stop in the middle of one.
const TRIES_MAX: usize = 50;

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Stopped, Kind::Killed, Kind::Interrupted];

    /// The name of its files.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Stopped => "stopped",
            Kind::Killed => "killed",
            Kind::Interrupted => "interrupted",
        }
    }

    /// One sentence for the reader of the text.
    pub fn description(self) -> &'static str {
        match self {
            Kind::Stopped => "A node that was stopped in good order.",
            Kind::Killed => "A node that was killed: its last writes are in the log alone.",
            Kind::Interrupted => {
                "A node that was stopped in the middle of transactions across shards."
            }
        }
    }

    /// True if no transaction across shards is open in the folder.
    pub fn is_settled(self) -> bool {
        self != Kind::Interrupted
    }
}

/// Makes the three folders, packed, in `set`.
pub async fn make(set: &Path) {
    fs::create_dir_all(set).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    aspen_node::open_sharded(path, SHARDS).await.unwrap().close().await;
    let store = Store::open(path, BASE, SNAPSHOT_EVERY).await;
    content::fill(&store).await;
    let said = reading::digests(&store);
    store.close().await;
    let stopped = pack::files(path);
    assert!(
        stopped.keys().any(|name| name.starts_with("shard-0/snapshot-")),
        "{:?}",
        stopped.keys()
    );
    write(set, Kind::Stopped, &stopped, &said).await;

    let store = Store::open(path, BASE + MINUTE, NO_SNAPSHOTS).await;
    content::write_tail(&store).await;
    tokio::time::sleep(QUIET).await;
    let said = reading::digests(&store);
    let killed = files_at_rest(path).await;
    store.close().await;
    assert!(killed.contains_key("shard-0/state.open"), "it was not stopped");
    let tail = format!("SELECT count(*) FROM kv WHERE key = CAST('{}tail/0' AS BLOB)", tags()[0]);
    assert_eq!(count(&killed, 0, &tail), 0, "the last writes are in the log alone");
    write(set, Kind::Killed, &killed, &said).await;

    let interrupted = interrupted(&stopped).await;
    write(set, Kind::Interrupted, &interrupted, "").await;
}

/// Writes a folder and its text, once what is read from the folder is what its node `said`.
async fn write(set: &Path, kind: Kind, files: &Files, said: &str) {
    let packed = pack::pack(files);
    let dir = tempfile::tempdir().unwrap();
    pack::unpack(&packed, dir.path());
    let store = Store::open(dir.path(), BEFORE, NO_SNAPSHOTS).await;
    let text = reading::text(&store, kind).await;
    store.close().await;
    assert!(text.contains(said), "{said}\nis not in\n{text}");
    fs::write(set.join(kind.name()).with_extension("pack"), packed).unwrap();
    fs::write(set.join(kind.name()).with_extension("txt"), text).unwrap();
}

/// The files of a node that runs, while it writes nothing.
async fn files_at_rest(path: &Path) -> Files {
    let mut before = pack::files(path);
    let mut rests = async || {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = pack::files(path);
        let rests = before == now;
        before = now;
        rests
    };
    until("the node rests", &mut rests).await;
    before
}

/// The folder of a node that had prepared a transaction across shards when it was stopped.
async fn interrupted(stopped: &Files) -> Files {
    for _ in 0..TRIES_MAX {
        let dir = tempfile::tempdir().unwrap();
        pack::unpack(&pack::pack(stopped), dir.path());
        let store = Store::open(dir.path(), BASE + MINUTE, NO_SNAPSHOTS).await;
        let mut clients = JoinSet::new();
        for n in 0..PAIRS {
            let client = store.client.clone();
            clients.spawn(async move {
                for value in 1.. {
                    if client.write(pair(n, value)).await.is_err() {
                        return;
                    }
                }
            });
        }
        tokio::time::sleep(UNDISTURBED).await;
        store.close().await;
        clients.shutdown().await;
        let files = pack::files(dir.path());
        let prepared = |shard| count(&files, shard, "SELECT count(*) FROM prepared");
        if (0..SHARDS).map(prepared).sum::<i64>() > 0 {
            return files;
        }
    }
    panic!("no transaction across shards is left prepared");
}

/// A number out of the state's file of a shard.
fn count(files: &Files, shard: u16, query: &str) -> i64 {
    let dir = tempfile::tempdir().unwrap();
    pack::unpack(&pack::pack(files), dir.path());
    let is_state = |name: &&String| {
        name.starts_with(&format!("shard-{shard}/state-")) && name.ends_with(".db")
    };
    let state = files.keys().find(is_state).unwrap();
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let db = Connection::open_with_flags(dir.path().join(state), flags).unwrap();
    db.query_row(query, [], |row| row.get(0)).unwrap()
}
