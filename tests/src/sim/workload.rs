//! The kinds of work that clients of a run do.
//!
//! The order of the kinds is a part of a seed's meaning: the plan picks from [`Workload::ALL`] in that
//! order. Leaves out the work itself: see `workloads.rs`.

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Workload {
    /// Single keys are read, written and deleted; the history is checked.
    Registers,
    /// Transactions on few keys; the history is checked.
    Transactions,
    /// Transfers between accounts, as function and as transaction.
    Bank,
    /// Lists grow by transactions.
    Lists,
    /// Counters that one client each increments, by put and by function.
    Counters,
    /// Keys with leases that are kept alive for a while.
    Leases,
    /// Components are uploaded while others call them.
    Uploads,
    /// Reads that may be old, and must not be older.
    Stale,
    /// As [`Self::Transactions`], on keys of all shards.
    Across,
    /// A bank whose accounts live on all shards.
    Branches,
    /// Calls that the cluster makes by itself.
    Schedules,
    /// A name changes its component while it is called across shards.
    Versions,
}

impl Workload {
    /// All of them.
    pub const ALL: [Workload; 12] = [
        Workload::Registers,
        Workload::Transactions,
        Workload::Bank,
        Workload::Lists,
        Workload::Counters,
        Workload::Leases,
        Workload::Uploads,
        Workload::Stale,
        Workload::Across,
        Workload::Branches,
        Workload::Schedules,
        Workload::Versions,
    ];
}
