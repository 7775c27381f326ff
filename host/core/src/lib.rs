//! The words and the rules of Aspen: everything that replicas must agree on, and nothing else.
//!
//! Promises that the same state and the same entry give the same outcome, writes and digest on every
//! machine: this crate uses no clock, randomness, thread, float or hash-map order. Time and chance
//! arrive inside of the log entry.
//!
//! Leaves out all I/O: storage is behind [`view::View`] and [`state::State`], functions are behind
//! [`function::Functions`]. Start to read at [`apply::apply()`].
//!
//! Rooms, bottom to top; each uses only those above it in this list:
//! - `limits`: the bounds of the state machine
//! - `ids`: numbers, names and hashes, each with a type of its own
//! - `key`, `val`: keys, values and ranges of keys; typed values of functions
//! - `codec`, `digest`: bytes of messages; the chained hash over everything applied
//! - `defect`: mistakes that the simulation plants
//! - `placement`: the shard of a key, and the nodes of a shard
//! - `refusal`: the reasons for which a command is not tried
//! - `view`: records, components and aliases at one revision, to read
//! - `transaction`: read sets, operations, and the forms in which users write
//! - `function`: calls, the trait that runs them, types of functions, figures of calls
//! - `two_phase`: the steps, decisions and locks of transactions across shards
//! - `state`: the state of a shard, with its parts in memory
//! - `protocol`: commands and outcomes of the log, requests and responses of the network
//! - `apply`: the one function that changes a state; queries
//! - `across`: the state machines that drive a transaction across shards
//!
//! # Glossary
//! **Data.** **Key**, **value**; **record** (a value with its numbers): **version** (writes to the key
//! since it was created: 1, 2, ...; 0 = absent), **create revision**, **mod revision**; **revision** (a
//! shard's counter of commits, strictly rising); **tombstone** (the memory of a removed key); **lease**
//! (its keys are removed when its time is over); **view** (a read at one revision).
//!
//! **Shards.** **Shard** (a part of the key space: one Raft group), **replica** (one copy of a shard),
//! **leader**, **term**, **node**, **peer** (another node), **placement map** (the nodes of the cluster
//! and of each shard's replicas), **system group** (the Raft group that holds the map), **epoch** (the
//! version of the map).
//!
//! **Log.** **Entry** (one element of a shard's log), **command** (the effect of an entry), **outcome**
//! (the result of an entry), **refusal** (the outcome of a command that is not tried), **entry time**
//! (the highest stamp so far), **snapshot** (Raft's only), **memtable** (the changes of some batches of
//! entries, in memory), **immutable memtable** (a full one that waits for its flush), **flush** (writing
//! memtables to the file), **digest** (chained hash of everything applied), **state hash** (over
//! everything stored), **verification** (the comparison of state hashes of all replicas). An entry is
//! committed and applied; a transaction commits or aborts; a command is proposed.
//!
//! **Requests.** **Session**, **request id** (makes a repeat harmless), **caller** (the client that sent
//! a request), **consistency** (the bound on the age of an answer).
//!
//! **Transactions.** **Transaction**, **read set**, **write set**, **operation** (one step of a
//! transaction), **expectation** (the claim of a read that must still hold), **conflict** (a read that does
//! not hold).
//!
//! **Transactions across shards.** **Coordinator** (the shard that decides), **participant** (another
//! shard of the transaction), **attempt** (one try), **prepare** (checks, locks and votes on one shard),
//! **prepare id** (the number of a prepare on its shard), **vote**, **decide**, **finish**,
//! **lock**.
//!
//! **Functions.** **Component** (an uploaded WebAssembly program; **large**: above 2 MiB), **part** (of
//! the upload of a large one), **alias** (a name that points to a component), **canary** (a second
//! component that gets a share of an alias's calls), **function** (an export of a component), **call**,
//! **query** (a call that changes nothing), **schedule** (a call that the shard makes later), **fuel**
//! (the unit of a guest's work), **profile** (the settings with which functions run), **guest** (the
//! code of a component), **host** (Aspen).

pub mod limits;
pub mod ids;
pub mod key;
pub mod val;
pub mod codec;
pub mod digest;
pub mod defect;
pub mod placement;
pub mod refusal;
pub mod view;
pub mod transaction;
pub mod function;
pub mod two_phase;
pub mod state;
pub mod protocol;
pub mod apply;
pub mod across;
