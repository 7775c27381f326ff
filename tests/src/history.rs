//! A checker of concurrent histories for strict serializability: data in, verdict out.
//!
//! Promises soundness: every [`Violation`] is real, whatever the outcomes that stayed unknown were.
//! Leaves out what is only likely. No clock, chance, thread or task in [`check`]; those are in
//! [`Recorder`] and [`Workload`], which make histories. Start reading at [`History`].
//!
//! ```text
//! history ─ index ─ evidence ─ timelines ─ versions, reads ─ edges ─ graph ─ cycles ─ report
//!           names   who wrote   the states  do they    who comes before whom, and
//!           to nos  what, when  of each key  add up?   does anybody come before himself?
//! ```
//!
//! Every write stores a value that names its writer, and every record tells its mod revision, so the
//! order of the states of one key is known and not guessed. From it follow Adya's dependencies
//! between transactions (ww: replaces, wr: reads, rw: reads what another replaces), and time adds
//! of transactions that completed before others began. A history is strictly serializable only if no
//! transaction comes before itself. Revisions of a shard are used for nothing but the order of one
//! key's states: the graph holds over several shards.
//!
//! ```text
//! T1  get x = v1 r1, set x ──> v2 r2         x:  r1 ────── r2 ────── r3
//! T2  get x = v1 r1, set x ──> v3 r3              T0   ww   T1   ww   T2
//!
//! T1 -ww-> T2 (x at r2 is replaced at r3), T2 -rw-> T1 (read r1, which T1 replaced): a lost update
//! ```
//!
//! Assumes that keys are absent before the first transaction, and only the history's
//! transactions write them. May miss violations: a transaction of unknown outcome counts only once
//! a value of its is seen or a version proves it; a read of absence is placed by time, by the
//! transaction's own write and by what the key's states allow, not by the rest of the graph.
//! Source: Kingsbury and Alvaro, "Elle: Inferring Isolation Anomalies from Experimental
//! Observations", VLDB 2020; Adya, "Weak Consistency", 1999.

mod check;
mod cycle;
mod edges;
mod evidence;
mod explain;
mod generate;
mod graph;
mod index;
mod reads;
mod recorder;
mod stored;
mod timeline;
mod transaction;
mod versions;
mod violation;
mod workload;

pub use check::{Report, check};
pub use generate::{Choices, Plan, Step, serial};
pub use recorder::{Recorder, Running};
pub use stored::StoredError;
pub use transaction::{History, Operation, Outcome, Record, Transaction};
pub use violation::{Kind, Violation};
pub use workload::Workload;
