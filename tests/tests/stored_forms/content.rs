//! The content of the golden folders: at least one of everything that a state and a log can hold.
//!
//! ```text
//! {..}small/N {..}large/N {..}gone/N   records in the row, records in a table of their own, tombstones
//! {..}leased/N {..}fading              on a lease of a day; with a time to live of nine years
//! {0}told                              what a session wrote, whose outcomes are kept
//! bank                                 a name with two components and a canary; accounts; a schedule
//! one upload                           in parts, and only the first part is there
//! {..}tail/N                           written last: in the log, not in the state's file
//! {..}across/N                         pairs of one value, each written by one transaction
//! ```
//!
//! Each shard has a tag of keys, `{..}`. The clock of the maker begins at [`BASE`], so what is due later is
//! due when the test says.

use std::time::Duration;

use aspen_client::{FirstRun, ScheduledCall, Timestamp, Transact, Val, WriteOp, after};
use aspen_core::ids::{ComponentHash, SessionId, ShardId};
use aspen_core::key::{Key, Value};
use aspen_core::placement::ShardRouter;
use aspen_core::protocol::{Command, Outcome, UploadPart};
use bytes::Bytes;

use crate::store::{Store, until};

/// Shards of the store.
pub const SHARDS: u16 = 2;

/// When the maker began, by its node's clock: 1 January 2026.
pub const BASE: u64 = 1_767_225_600_000;

/// The clock of a node that only reads: entry time stays as it is stored, and nothing is due.
pub const BEFORE: u64 = BASE - DAY;

/// A minute, and a day, in milliseconds.
pub const MINUTE: u64 = 60_000;
pub const DAY: u64 = 24 * 60 * MINUTE;

/// The first run of the schedule, after [`BASE`].
pub const SCHEDULE_AFTER: u64 = 10 * MINUTE;

/// A session that the maker opened, the first of its shard.
pub const SESSION: SessionId = SessionId::new(1);
pub const SESSION_SHARD: ShardId = ShardId::new(0);

/// Requests of that session whose outcomes are kept; the one after them sends the first part.
pub const TOLD: u64 = 3;

/// Where the first part of the upload ends.
const PART_BYTES: usize = 6_000;

/// Pairs of keys that transactions across shards write.
pub const PAIRS: usize = 4;

/// A tag of keys for each shard, in order.
pub fn tags() -> Vec<String> {
    let router = ShardRouter::new(SHARDS).unwrap();
    let tag = |shard: ShardId| {
        let mut tags = (0..).map(|n| format!("{{{n}}}"));
        tags.find(|tag| router.shard(tag.as_bytes()) == shard).unwrap()
    };
    router.all().map(tag).collect()
}

/// The bank, as a component of another hash for each `version`.
pub fn bank(version: u8) -> Bytes {
    let mut bytes = include_bytes!("../../../host/functions/tests/golden/bank.wasm").to_vec();
    // A custom section: its size, then the length of its name, the name, and the content.
    bytes.extend([0, 3, 1, b'v', version]);
    bytes.into()
}

/// The text of an account's name, and an amount, as arguments.
pub fn account(tag: &str, name: &str) -> Val {
    Val::String(format!("{tag}{name}"))
}

/// A write of the session, which is the same whenever it is asked for.
pub fn told(sequence: u64) -> Command {
    let key = Key::try_from(format!("{}told", tags()[0]).as_str()).unwrap();
    let value = Value::try_from(format!("request {sequence}").as_str()).unwrap();
    Command::Transact(Transact::writes([WriteOp::set(key, value)]))
}

/// A part of the upload: the first, which is there, or the second.
pub fn part(is_first: bool) -> Command {
    let whole = bank(3);
    let (start, end) = if is_first { (0, PART_BYTES) } else { (PART_BYTES, whole.len()) };
    Command::UploadPart(UploadPart {
        component: ComponentHash::of(&whole),
        total: whole.len() as u64,
        offset: start as u64,
        bytes: whole.slice(start..end),
    })
}

/// One value for both keys of a pair, one of which lives on each shard.
pub fn pair(pair: usize, value: u64) -> Transact {
    let key = |tag: &String| Key::try_from(format!("{tag}across/{pair}").as_str()).unwrap();
    let value = Value::try_from(value.to_string().as_str()).unwrap();
    Transact::writes(tags().iter().map(|tag| WriteOp::set(key(tag), value.clone())))
}

/// Fills an empty store; its clock stands at [`BASE`]. Each shard has made a snapshot in the end.
pub async fn fill(store: &Store) {
    let opened = store.propose(None, Command::OpenSession).await;
    assert_eq!(opened, Outcome::SessionOpened { session: SESSION });
    for sequence in 1..=TOLD {
        let outcome = store.request(sequence, told(sequence)).await;
        assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
    }
    let stored = store.request(TOLD + 1, part(true)).await;
    assert_eq!(stored, Outcome::PartStored { bytes: PART_BYTES as u64 });
    for tag in tags() {
        records(store, &tag).await;
    }
    components(store).await;
    let has_snapshot =
        |shard: &ShardId| store.node.shard_status(*shard).unwrap().snapshot.get() > 0;
    until("snapshots", async || store.shards().iter().all(has_snapshot)).await;
}

async fn records(store: &Store, tag: &str) {
    let client = &store.client;
    for n in 0..8 {
        client.put(format!("{tag}small/{n}"), format!("value {n}")).await.unwrap();
        client.put(format!("{tag}gone/{n}"), "soon").await.unwrap();
    }
    for version in 2..=4 {
        let written = client.put(format!("{tag}small/0"), format!("version {version}")).await;
        assert_eq!(written.unwrap().version.get(), version);
    }
    // Around the size up to which a record is in its row, and far above.
    for bytes in [850, 900, 950, 9_000] {
        client.put(format!("{tag}large/{bytes}"), "x".repeat(bytes)).await.unwrap();
    }
    for n in 0..8 {
        client.delete(format!("{tag}gone/{n}")).await.unwrap();
    }
    client.put(format!("{tag}gone/7"), "again").await.unwrap();
    client.put(format!("{tag}empty"), "").await.unwrap();
    let lease = client.grant_lease(tag, Duration::from_millis(DAY)).await.unwrap();
    for n in 0..2 {
        client.put_expiring(format!("{tag}leased/{n}"), "alive", lease.into()).await.unwrap();
    }
    let years = after(Duration::from_millis(9 * 365 * DAY));
    client.put_expiring(format!("{tag}fading"), "slowly", years).await.unwrap();
}

async fn components(store: &Store) {
    let client = &store.client;
    let first = client.upload("bank", bank(1)).await.unwrap();
    client.upload("bank", bank(2)).await.unwrap();
    client.canary("bank", Some((first, 30))).await.unwrap();
    let every = Some(Duration::from_millis(7 * DAY));
    let at = FirstRun::At(Timestamp::new(BASE + SCHEDULE_AFTER));
    for tag in tags() {
        for (name, cents) in [("ada", 100u64), ("ben", 0)] {
            client.call("bank", "open", &tag, &[account(&tag, name), cents.into()]).await.unwrap();
        }
        transfer(store, &tag, 30).await;
        let args = [account(&tag, "ada"), account(&tag, "ben"), 1u64.into()];
        let call = ScheduledCall::new("bank", "transfer", &tag, &args).unwrap();
        client.schedule("daily", call, at, every).await.unwrap();
    }
}

/// Moves cents from ada to ben.
pub async fn transfer(store: &Store, tag: &str, cents: u64) {
    let args = [account(tag, "ada"), account(tag, "ben"), cents.into()];
    store.client.call("bank", "transfer", tag, &args).await.unwrap();
}

/// Writes on, and leaves it in the log and in memory.
pub async fn write_tail(store: &Store) {
    let client = &store.client;
    for tag in tags() {
        for n in 0..4 {
            client.put(format!("{tag}tail/{n}"), format!("value {n}")).await.unwrap();
        }
        client.put(format!("{tag}tail/large"), "y".repeat(3_000)).await.unwrap();
        client.put(format!("{tag}small/1"), "changed").await.unwrap();
        client.delete(format!("{tag}small/2")).await.unwrap();
        transfer(store, &tag, 5).await;
    }
    for n in 0..PAIRS {
        client.write(pair(n, 1)).await.unwrap();
    }
}
