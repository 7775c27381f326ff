//! Defects that the simulation plants, one at a time, to show that it would find them.
//!
//! Each defect is a mistake that a system of this kind can make, at the place where it would be made.
//! Promises that no defect exists outside of the simulation: without `--cfg madsim` [`is_planted`] is the
//! constant `false`, and the compiler removes the code behind it.

/// A mistake that the simulation can plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Defect {
    /// The log answers before its entries are on disk.
    AckBeforeSync = 1,
    /// A restarted replica applies its whole log, committed or not.
    ApplyBeforeCommit,
    /// A transaction commits without a check of its reads.
    SkipReadValidation,
    /// A repeated request is applied again.
    ForgetSessions,
    /// The cost of a call depends on earlier calls on its machine, as with a heap that is kept.
    ReuseInstance,
    /// Leases and sessions expire by the clock of the replica that applies the entry.
    LocalClockExpiry,
    /// The log is deleted up to the committed entries, not up to the state on disk.
    PurgeEarly,
    /// A leader answers reads without a check that it still leads.
    StaleRead,
    /// Transactions and reads ignore the locks of transactions across shards.
    IgnoreLocks,
    /// A node deletes a replica as soon as it hears that the replica shall move, while its group
    /// counts on it.
    DeleteUnasked,
    /// A view of several shards is pinned while the shards go on.
    OpenGate,
    /// A schedule that has run once stays.
    RunAgain,
    /// A function across shards commits although its name means another component by now.
    OldComponent,
    /// A replica that comes back empty votes before it has its former entries.
    ForgetPromise,
}

impl Defect {
    pub const ALL: [Defect; 14] = [
        Defect::AckBeforeSync,
        Defect::ApplyBeforeCommit,
        Defect::SkipReadValidation,
        Defect::ForgetSessions,
        Defect::ReuseInstance,
        Defect::LocalClockExpiry,
        Defect::PurgeEarly,
        Defect::StaleRead,
        Defect::IgnoreLocks,
        Defect::DeleteUnasked,
        Defect::OpenGate,
        Defect::RunAgain,
        Defect::OldComponent,
        Defect::ForgetPromise,
    ];

    /// Returns the name that the simulation's options use.
    pub fn name(self) -> &'static str {
        match self {
            Defect::AckBeforeSync => "ack-before-sync",
            Defect::ApplyBeforeCommit => "apply-before-commit",
            Defect::SkipReadValidation => "skip-read-validation",
            Defect::ForgetSessions => "forget-sessions",
            Defect::ReuseInstance => "reuse-instance",
            Defect::LocalClockExpiry => "local-clock-expiry",
            Defect::PurgeEarly => "purge-early",
            Defect::StaleRead => "stale-read",
            Defect::IgnoreLocks => "ignore-locks",
            Defect::DeleteUnasked => "delete-unasked",
            Defect::OpenGate => "open-gate",
            Defect::RunAgain => "run-again",
            Defect::OldComponent => "old-component",
            Defect::ForgetPromise => "forget-promise",
        }
    }
}

#[cfg(madsim)]
static PLANTED: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// Plants a defect, for the rest of this process.
#[cfg(madsim)]
pub fn plant(defect: Defect) {
    PLANTED.store(defect as u8, std::sync::atomic::Ordering::Relaxed);
}

/// True if the defect is planted.
#[cfg(madsim)]
pub fn is_planted(defect: Defect) -> bool {
    PLANTED.load(std::sync::atomic::Ordering::Relaxed) == defect as u8
}

/// False: nothing is planted outside of the simulation.
#[cfg(not(madsim))]
pub const fn is_planted(_: Defect) -> bool {
    false
}

/// Reads the clock of this machine, which no replica may do.
#[cfg(madsim)]
pub(crate) fn local_clock() -> crate::ids::Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    crate::ids::Timestamp::new(since.map_or(0, |since| since.as_millis() as u64))
}
