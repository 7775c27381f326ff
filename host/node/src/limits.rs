//! Bounds that each node chooses for itself. Changing one changes no replicated decision.

use std::time::Duration;

/// Bytes of entries in one Raft message: with one more entry it still fits a frame of 8 MiB.
pub const APPEND_BYTES_MAX: usize = 1 << 20;

/// Entries in one Raft message.
pub const APPEND_ENTRIES_MAX: u64 = 1024;

/// One piece of a snapshot in transit.
pub const SNAPSHOT_CHUNK_BYTES: usize = 1 << 20;

/// How fast a leader sends a snapshot, per second, so that its shards and those of the receiver go on
/// meanwhile: a gigabyte takes 16 seconds.
pub const SNAPSHOT_BYTES_PER_SECOND: u64 = 64 << 20;

/// How long a write waits for its outcome before the client is told to ask again.
pub const WRITE_WAIT: Duration = Duration::from_secs(10);

/// How long a read waits for a majority to confirm the leader.
pub const READ_WAIT: Duration = Duration::from_secs(5);

/// How long a transaction across shards is tried before the client is told to ask again.
pub const ACROSS_WAIT: Duration = Duration::from_secs(4);

/// Runs of a function across shards until it misses nothing: the reads that depend on each other.
pub const READ_AHEAD_RUNS_MAX: usize = 256;

/// How long a shard may take to vote.
pub const PREPARE_WAIT: Duration = Duration::from_secs(3);

/// How long a driver tries to have a shard do what was decided; then the sweep does it.
pub const FINISH_WAIT: Duration = Duration::from_secs(5);

/// How long whoever meets a lock waits before he asks what became of its transaction: longer than
/// one that runs undisturbed takes.
pub const LOCK_PATIENCE: Duration = Duration::from_millis(250);

/// How long a read or a write waits for transactions across shards that are in its way.
pub const LOCKED_WAIT: Duration = Duration::from_secs(4);

/// How long a node waits before it looks again for the leader of another shard.
pub const PARTICIPATE_AGAIN: Duration = Duration::from_millis(50);

/// A call that took longer is heavy, if it used more fuel than [`HEAVY_FUEL`]: a hundred times what
/// a usual one takes.
pub const HEAVY_TIME: Duration = Duration::from_millis(1);

/// Fuel that takes less than [`HEAVY_TIME`] on a machine that does nothing else.
pub const HEAVY_FUEL: u64 = 1_000_000;

/// After a heavy call no other begins for so many times as long as it took, while others ask: heavy
/// functions get a fifth. With a third, three nodes of two cores would spend half of a core each.
pub const HEAVY_REST: u32 = 4;

/// The longest of these pauses: what many heavy calls took that were under way together is paid back
/// up to that, and heavy functions of others still get an answer within a client's patience.
pub const HEAVY_REST_MAX: Duration = Duration::from_secs(10);

/// How long a heavy call waits for its turn before the client is told to ask again: less than a
/// client waits for one answer.
pub const HEAVY_WAIT: Duration = Duration::from_secs(4);

/// Where nothing else was asked for so long, more heavy calls may be under way at a time: so many
/// times as many, which keeps apply busy while one is on its way through the log. Whoever comes then
/// waits for them once.
pub const ALONE_AFTER: Duration = Duration::from_secs(1);
pub const ALONE_PLACES: usize = 4;

/// Heavy calls that wait on a node, and of those, of one caller.
pub const WAITING_MAX: usize = 1024;
pub const WAITING_OF_CALLER_MAX: usize = 256;

/// Functions whose cost a node remembers; those called last. Some 300 bytes each.
pub const FUNCTIONS_KNOWN_MAX: usize = 1024;

/// Views of a shard that a node holds for consistent scans. Each keeps what the shard buffered then,
/// 64 MiB at most and usually far less, and some 300 KiB for a connection.
pub const VIEWS_MAX: usize = 16;

/// A view that nobody read for so long is closed: whoever reads has gone.
pub const VIEW_IDLE_MAX: Duration = Duration::from_secs(60);

/// A view that was never read is closed sooner: whoever asked for it may have asked again meanwhile.
pub const VIEW_UNREAD_MAX: Duration = Duration::from_secs(10);

/// A view older than this is closed: the write-ahead log beside the state's file grows by what is
/// written meanwhile. At 300,000 entries a second it is enough for 100 million.
pub const VIEW_AGE_MAX: Duration = Duration::from_secs(600);

/// How long nothing is applied while all shards pin a view: usually some milliseconds. If it is not
/// enough, the view is tried again. Looked at every [`RATE_EVERY`], so it may be that much more.
pub const GATE_MAX: Duration = Duration::from_secs(1);

/// How long a shard coordinates no new transaction while a view is opened, should nobody say that it
/// is over.
pub const HOLD_MAX: Duration = Duration::from_secs(3);

/// How long a view waits for transactions across shards that have begun.
pub const HOLD_PATIENCE: Duration = Duration::from_secs(1);

/// How long a shard may take for a step towards a view.
pub const VIEW_STEP_WAIT: Duration = Duration::from_secs(2);

/// How often a leader looks for transactions across shards that were left behind. What is there
/// twice was.
pub const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// How often a leader looks whether a lease is over or a schedule due: how late one may end, or run,
/// beside the entry.
pub const EXPIRY_CHECK: Duration = Duration::from_millis(100);

/// With more than 100 shards it looks less often, so that idle ones cost little: this for each.
pub const EXPIRY_CHECK_SHARE: Duration = Duration::from_millis(1);

/// How long one piece of a snapshot may take.
pub const SNAPSHOT_CHUNK_WAIT: Duration = Duration::from_secs(10);

/// How long a stopping leader waits for another to take over.
pub const HANDOVER_WAIT: Duration = Duration::from_millis(1500);

/// How often a node looks whether it leads more shards than others: leads are uneven for so long
/// after a node came back, and a look costs microseconds.
pub const BALANCE_CHECK: Duration = Duration::from_secs(1);

/// Between two hand-overs of one node: 256 shards that one node leads are spread over three in 40 s,
/// and a client meets a shard without a leader seldom.
pub const BALANCE_NEXT: Duration = Duration::from_millis(200);

/// After a hand-over that failed: longer than an election takes, which it may have caused.
pub const BALANCE_REST: Duration = Duration::from_secs(10);

/// Entries that a replica may lack and still be given the lead: one message.
pub const BALANCE_LAG_MAX: u64 = APPEND_ENTRIES_MAX;

/// How often a node looks whether its replicas are what the map says, while something moves.
pub const PLACE_EVERY: Duration = Duration::from_millis(100);

/// The same while nothing does: a look at 256 shards costs some 100 us.
pub const PLACE_IDLE: Duration = Duration::from_secs(1);

/// Looks at the system group alone, after one at everything that found nothing to do: what a node
/// comes to lead later, with a change left undone, it finds within so many [`PLACE_IDLE`].
pub const PLACE_LOOKS: u32 = 10;

/// Shards of one leader that are copied to other nodes at a time: a copy reads a whole state.
pub const MOVES_AT_ONCE: usize = 4;

/// Entries that a replica may lack and still be counted as up to date when members change.
pub const CAUGHT_UP_LAG_MAX: u64 = 1000;

/// Voters of the system group: five bear two failures, and more would only slow it down. The other
/// nodes are its learners.
pub const SYSTEM_VOTERS_MAX: usize = 5;

/// How long a change of the map may take: as long as an election with a lost message.
pub const MAP_WAIT: Duration = Duration::from_secs(4);

/// How often whoever waits for a new cluster looks whether it is there: a commit takes less.
pub const SERVED_AGAIN: Duration = Duration::from_millis(5);

/// How long a new cluster may take until all its shards have leaders; then it says that it is ready
/// all the same, and requests wait for them.
pub const FOUNDING_WAIT: Duration = Duration::from_secs(10);

/// How long a node waits for a newer copy of the map before it asks or tries again.
pub const MAP_AGAIN: Duration = Duration::from_millis(200);

/// How much longer than the leader the other replicas of a shard may take to compile a component that is
/// uploaded. Whoever takes longer does it when it applies the entry.
pub const COMPILE_AHEAD_WAIT: Duration = Duration::from_secs(3);

/// How long a replica waits for parts of an upload that the leader has applied, and how often it looks.
pub const PARTS_WAIT: Duration = Duration::from_secs(2);
pub const PARTS_AGAIN: Duration = Duration::from_millis(20);

/// How long another node may take to say what it knows of the cluster.
pub const MAP_ASK_WAIT: Duration = Duration::from_secs(2);

/// How long a node that shall get a replica waits for the map that says so.
pub const HOST_WAIT: Duration = Duration::from_secs(2);

/// Entries between two snapshots.
pub const SNAPSHOT_EVERY: u64 = 100_000;

/// Entries kept behind a snapshot, so that a node that was away for a moment needs no snapshot.
pub const LOG_KEEP: u64 = 20_000;

/// How long a node that refused a stranger waits before it asks again who the members are.
pub const LEARN_AGAIN: Duration = Duration::from_secs(1);

/// Heartbeats of all shards that a node leads, together, to one other node: one each 4 ms. From 50
/// shards on each shard has fewer than five a second, so that 256 idle ones cost little.
pub const HEARTBEAT_SHARE: Duration = Duration::from_millis(4);

/// Shards of a node that are opened at the same time. Each takes a thread, and what it allocates stays apart from
/// what other threads do: 256 idle shards opened all at once took a tenth more memory.
pub const OPEN_AT_ONCE: usize = 4;

/// Over how long the rate of applied entries is measured, and how often it is looked at.
pub const RATE_WINDOW: Duration = Duration::from_secs(5);
pub const RATE_EVERY: Duration = Duration::from_secs(1);

/// How often a replica compares its digests with those of the other voters: a replica that differs
/// serves wrong data for about so long.
pub const DIGEST_CHECK: Duration = Duration::from_secs(1);

/// How long another replica may take to say its digests.
pub const DIGEST_WAIT: Duration = Duration::from_secs(2);

/// Digests asked for at once: the 65,536 that a replica keeps are searched in three rounds.
pub const DIGESTS_ASKED_MAX: usize = 64;

/// How long a replica without a state waits before it asks the next one for a snapshot.
pub const FETCH_AGAIN: Duration = Duration::from_secs(1);

/// How long a snapshot that another replica fetches is kept for its next piece, though a newer one
/// has replaced it: its file takes room on the disk.
pub const OUTGOING_KEEP: Duration = Duration::from_secs(30);
