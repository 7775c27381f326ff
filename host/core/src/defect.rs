//! Defects that the simulation plants, one at a time, to show that it would find them.
//!
//! Each is a mistake that a system of this kind can make, at the place where it would be made.
//! Promises that nothing of it exists outside of the simulation: without `--cfg madsim`
//! [`is_planted`] is the constant `false`, so the compiler removes what it guards.

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Defect {
    /// The log answers before its entries are on disk.
    AckBeforeSync = 1,
    /// A restarted replica applies everything in its log, committed or not.
    ApplyBeforeCommit,
    /// A transaction commits whatever became of what it read.
    SkipReadValidation,
    /// A repeated request is applied again.
    ForgetSessions,
    /// What a call costs depends on the calls before it on its machine, as with a heap that is kept.
    ReuseInstance,
    /// What is due expires by the clock of the replica that applies the entry.
    LocalClockExpiry,
    /// The log is deleted up to what is committed, not up to what is on disk as state.
    PurgeEarly,
    /// A leader answers reads without asking whether it still leads.
    StaleRead,
    /// Transactions and reads do not care what a transaction across shards has locked.
    IgnoreLocks,
    /// A node deletes a replica that shall move as soon as it hears so, while its group counts on it.
    DeleteUnasked,
    /// A view of several shards is pinned while they go on.
    OpenGate,
    /// A schedule that has run once is still there.
    RunAgain,
    /// A function across shards commits although its name means another component by now.
    OldComponent,
    /// A replica that comes back empty votes before it has what it had.
    ForgetPromise,
}

impl Defect {
    /// All of them.
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

    /// Its name, as the simulation's options give it.
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

/// Plants one, for the rest of this process.
#[cfg(madsim)]
pub fn plant(defect: Defect) {
    PLANTED.store(defect as u8, std::sync::atomic::Ordering::Relaxed);
}

/// Whether it is there.
#[cfg(madsim)]
pub fn is_planted(defect: Defect) -> bool {
    PLANTED.load(std::sync::atomic::Ordering::Relaxed) == defect as u8
}

/// It is not.
#[cfg(not(madsim))]
pub const fn is_planted(_: Defect) -> bool {
    false
}

/// What the clock of this machine says, which no replica may ask.
#[cfg(madsim)]
pub(crate) fn local_clock() -> crate::ids::Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    crate::ids::Timestamp::new(since.map_or(0, |since| since.as_millis() as u64))
}
