//! Bounds that each node chooses for itself.
//!
//! Promises that a change of one changes no replicated decision. Leaves out the bounds that all
//! nodes share (`aspen_core::limits`).

use std::time::Duration;

/// Bytes of entries in one Raft message: with one more entry the message still fits a frame of 8
/// MiB.
pub const APPEND_BYTES_MAX: usize = 1 << 20;

/// Entries in one Raft message.
pub const APPEND_ENTRIES_MAX: u64 = 1024;

/// One piece of a snapshot in transit.
pub const SNAPSHOT_CHUNK_BYTES: usize = 1 << 20;

/// Bytes of a snapshot that a leader sends each second, so that its shards and those of the
/// receiver go on meanwhile: a gigabyte takes 16 seconds.
pub const SNAPSHOT_BYTES_PER_SECOND: u64 = 64 << 20;

/// The time for which a write waits for its outcome before the client is told to ask again.
pub const WRITE_WAIT: Duration = Duration::from_secs(10);

/// The time for which a read waits for a majority to confirm the leader.
pub const READ_WAIT: Duration = Duration::from_secs(5);

/// The time for which a transaction across shards is tried before the client is told to ask again.
pub const ACROSS_WAIT: Duration = Duration::from_secs(4);

/// Runs of a function across shards until it misses nothing: the reads that depend on each other.
pub const READ_AHEAD_RUNS_MAX: usize = 256;

/// The time that a shard may take to vote.
pub const PREPARE_WAIT: Duration = Duration::from_secs(3);

/// The time for which a driver tries to let a shard do the decision; then the sweep does it.
pub const FINISH_WAIT: Duration = Duration::from_secs(5);

/// The time for which a request that meets a lock waits before the node asks for the decision about
/// the lock's transaction: longer than a transaction takes that runs undisturbed.
pub const LOCK_PATIENCE: Duration = Duration::from_millis(250);

/// The time for which a read or a write waits for transactions across shards that are in its way.
pub const LOCKED_WAIT: Duration = Duration::from_secs(4);

/// The time for which a node waits before it looks again for the leader of another shard.
pub const ASK_AGAIN: Duration = Duration::from_millis(50);

/// A call that took longer is heavy, if it used more fuel than [`HEAVY_FUEL`]: a usual call takes a
/// hundredth of this.
pub const HEAVY_TIME: Duration = Duration::from_millis(1);

/// Fuel that takes less than [`HEAVY_TIME`] on a machine that does nothing else.
pub const HEAVY_FUEL: u64 = 1_000_000;

/// The rest after a heavy call, while there is other work: no other heavy call begins for this
/// times as long as the call took. So heavy functions get a fifth. With a third, three nodes of two
/// cores would spend half of a core each.
pub const HEAVY_REST: u32 = 4;

/// The longest of these pauses: the time of many heavy calls that were under way together is paid
/// back up to that, and heavy functions of others still get an answer within a client's patience.
pub const HEAVY_REST_MAX: Duration = Duration::from_secs(10);

/// The time for which a heavy call waits before the client is told to ask again: less than a client
/// waits for one answer.
pub const HEAVY_WAIT: Duration = Duration::from_secs(4);

/// Without other work for so long, more heavy calls may be under way at a time.
pub const ALONE_AFTER: Duration = Duration::from_secs(1);

/// The factor by which more heavy calls may then be under way, which keeps apply busy while one is
/// on its way through the log. Other work that comes then waits for them once.
pub const ALONE_PLACES: usize = 4;

/// Heavy calls that wait on a node.
pub const WAITING_MAX: usize = 1024;

/// Heavy calls of one caller that wait on a node.
pub const WAITING_OF_CALLER_MAX: usize = 256;

/// Functions whose cost a node remembers; those called last. Some 300 bytes each.
pub const FUNCTIONS_KNOWN_MAX: usize = 1024;

/// Views of a shard that a node holds for consistent scans. Each keeps the writes that the shard
/// had buffered, 64 MiB at most and usually far less, and some 300 KiB for a connection.
pub const VIEWS_MAX: usize = 16;

/// A view that nobody read for so long is closed: its reader has gone.
pub const VIEW_IDLE_MAX: Duration = Duration::from_secs(60);

/// A view that was never read is closed sooner: the client may have opened another one meanwhile.
pub const VIEW_UNREAD_MAX: Duration = Duration::from_secs(10);

/// A view older than this is closed: the write-ahead log of the state's file grows with the writes
/// meanwhile. At 300,000 entries a second this age is enough to read 100 million.
pub const VIEW_AGE_MAX: Duration = Duration::from_secs(600);

/// The longest time for which nothing is applied while all shards pin a view: usually some
/// milliseconds. If that is not enough, the view is tried again. Looked at every [`RATE_EVERY`], so
/// it may be that much more.
pub const GATE_MAX: Duration = Duration::from_secs(1);

/// The time for which a shard coordinates no new transaction while a view is opened, should nobody
/// end the hold.
pub const HOLD_MAX: Duration = Duration::from_secs(3);

/// The time for which a view waits for transactions across shards that have begun.
pub const HOLD_PATIENCE: Duration = Duration::from_secs(1);

/// The time that a shard may take for a step towards a view.
pub const VIEW_STEP_WAIT: Duration = Duration::from_secs(2);

/// The interval at which a leader looks for transactions across shards that were left behind. A
/// transaction that is found twice was left behind.
pub const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// The interval at which a leader looks for leases that are over and schedules that are due: so
/// late one may end, or run, besides the time that the entry takes.
pub const EXPIRY_CHECK: Duration = Duration::from_millis(100);

/// With more than 100 shards a leader looks less often, so that idle shards cost little: this for
/// each shard.
pub const EXPIRY_CHECK_SHARE: Duration = Duration::from_millis(1);

/// The time that one piece of a snapshot may take.
pub const SNAPSHOT_CHUNK_WAIT: Duration = Duration::from_secs(10);

/// The time for which a stopping leader waits for another to take over.
pub const HANDOVER_WAIT: Duration = Duration::from_millis(1500);

/// The interval at which a node compares how many shards it leads with others: leads are uneven for
/// so long after a node came back, and a look costs microseconds.
pub const BALANCING_CHECK: Duration = Duration::from_secs(1);

/// The pause between two hand-overs of one node: 256 shards that one node leads are spread over
/// three in 40 s, and a client meets a shard without a leader seldom.
pub const BALANCING_NEXT: Duration = Duration::from_millis(200);

/// The pause after a hand-over that failed: longer than an election takes, which it may have
/// caused.
pub const BALANCING_REST: Duration = Duration::from_secs(10);

/// Entries that a replica may lack and still be given the lead: one message.
pub const BALANCING_LAG_MAX: u64 = APPEND_ENTRIES_MAX;

/// The interval at which a node compares its replicas with the placement map, while something
/// moves.
pub const PLACE_EVERY: Duration = Duration::from_millis(100);

/// The same while nothing does: a look at 256 shards costs some 100 us.
pub const PLACE_IDLE: Duration = Duration::from_secs(1);

/// Looks at the system group alone, after a look at everything that found nothing to do: a shard
/// that the node comes to lead later, with a change left undone, is found within so many
/// [`PLACE_IDLE`].
pub const PLACE_LOOKS: u32 = 10;

/// Shards of one leader that are copied to other nodes at a time: a copy reads a whole state.
pub const MOVES_AT_ONCE: usize = 4;

/// Entries that a replica may lack and still be counted as up to date when members change.
pub const CAUGHT_UP_LAG_MAX: u64 = 1000;

/// Voters of the system group: five bear two failures, and more would only slow it down. The other
/// nodes are its learners.
pub const SYSTEM_VOTERS_MAX: usize = 5;

/// The time that a change of the placement map may take: as long as an election with a lost
/// message.
pub const MAP_WAIT: Duration = Duration::from_secs(4);

/// The interval at which a program that waits for a new cluster looks again: a commit takes less.
pub const SERVED_AGAIN: Duration = Duration::from_millis(5);

/// The time that a new cluster may take until all its shards have leaders; then the node says that
/// it is ready all the same, and requests wait for the leaders.
pub const FOUNDING_WAIT: Duration = Duration::from_secs(10);

/// The time for which a node waits for a newer copy of the placement map before it asks or tries
/// again.
pub const MAP_AGAIN: Duration = Duration::from_millis(200);

/// The time that the other replicas of a shard may take longer than the leader to compile a
/// component that is uploaded. A replica that takes longer compiles when it applies the entry.
pub const COMPILE_AHEAD_WAIT: Duration = Duration::from_secs(3);

/// The time for which a replica waits for parts of an upload that the leader has applied.
pub const PARTS_WAIT: Duration = Duration::from_secs(2);

/// The interval at which a replica looks for these parts.
pub const PARTS_AGAIN: Duration = Duration::from_millis(20);

/// The time that another node may take to tell its placement map, its leads or its profiles.
pub const MAP_ASK_WAIT: Duration = Duration::from_secs(2);

/// The time for which a node that shall get a replica waits for the placement map that says so.
pub const HOST_WAIT: Duration = Duration::from_secs(2);

/// Entries between two snapshots.
pub const SNAPSHOT_EVERY: u64 = 100_000;

/// Entries kept behind a snapshot, so that a node which was away for a moment needs no snapshot.
pub const LOG_KEEP: u64 = 20_000;

/// The time for which a node that refused a stranger waits before it asks again who the members
/// are.
pub const LEARN_AGAIN: Duration = Duration::from_secs(1);

/// Heartbeats of all shards that a node leads, together, to one other node: one each 4 ms. Up to 50
/// shards each shard has five a second. With more shards all of them together have 250 a second,
/// which is about one a second each with 256. Elections then begin after 1.5 to 3 s instead of after
/// 1 to 2 s, behind a leader's lease of 3 s instead of 2 s (`raft_config`), so that 256 idle shards
/// cost little.
pub const HEARTBEAT_SHARE: Duration = Duration::from_millis(4);

/// Shards of a node that are opened at the same time. Each takes a thread, and the memory that a
/// thread allocates stays apart from that of other threads: 256 idle shards opened all at once took
/// a tenth more memory.
pub const OPEN_AT_ONCE: usize = 4;

/// The time over which the rate of applied entries is measured.
pub const RATE_WINDOW: Duration = Duration::from_secs(5);

/// The interval at which the last applied entry of each replica is noted.
pub const RATE_EVERY: Duration = Duration::from_secs(1);

/// The interval at which a replica compares its digests with those of the other voters: a replica
/// that differs serves wrong data for about so long.
pub const DIGEST_CHECK: Duration = Duration::from_secs(1);

/// The time that another replica may take to tell its digests.
pub const DIGEST_WAIT: Duration = Duration::from_secs(2);

/// Digests asked for at once: the 65,536 that a replica keeps are searched in three rounds.
pub const DIGESTS_ASKED_MAX: usize = 64;

/// The time for which a replica without a state waits before it asks the next one for a snapshot.
pub const FETCH_AGAIN: Duration = Duration::from_secs(1);

/// The time for which a snapshot that another replica fetches is kept for its next piece, though a
/// newer one has replaced it: its file takes room on the disk.
pub const OUTGOING_KEEP: Duration = Duration::from_secs(30);
