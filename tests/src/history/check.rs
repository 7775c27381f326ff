//! The verdict: every part of the checker in turn.

use std::fmt;

use crate::history::cycle::check_cycles;
use crate::history::evidence::Evidence;
use crate::history::index::Index;
use crate::history::reads::check_reads;
use crate::history::timeline::timelines;
use crate::history::versions::check_versions;
use crate::history::{History, Kind, Outcome, Violation};

/// The verdict on a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Everything wrong, each once; empty if nothing is.
    pub violations: Vec<Violation>,
    /// Transactions that committed.
    pub committed: usize,
    /// Transactions that aborted.
    pub aborted: usize,
    /// Transactions of unknown outcome that are proven to have happened.
    pub proven: usize,
    /// Other transactions of unknown outcome.
    pub unknown: usize,
}

/// Checks a history for strict serializability, and the versions of its records.
///
/// # Panics
/// If the history is no history: two writes of one key store the same value, a transaction ends
/// before it begins, or the number of shards is none.
pub fn check(history: &History) -> Report {
    let index = Index::new(history);
    let mut violations = vec![];
    let mut evidence = Evidence::gather(&index);
    violations.append(&mut evidence.violations);
    let mut timelines = timelines(&index, &mut evidence, &mut violations);
    let mut happened = evidence.happened;
    for timeline in &mut timelines {
        for proven in check_versions(&index, timeline, &mut violations) {
            happened[proven] = true;
        }
        timeline.finish(&index);
    }
    for (transaction, _) in happened.iter().enumerate().filter(|(_, happened)| **happened) {
        check_reads(&index, transaction, &mut violations);
    }
    check_cycles(&index, &timelines, &happened, &mut violations);
    report(history, &happened, violations)
}

fn report(history: &History, happened: &[bool], violations: Vec<Violation>) -> Report {
    let mut report = Report { violations, committed: 0, aborted: 0, proven: 0, unknown: 0 };
    for (transaction, happened) in history.transactions.iter().zip(happened) {
        match (&transaction.outcome, happened) {
            (Outcome::Committed { .. }, _) => report.committed += 1,
            (Outcome::Aborted, _) => report.aborted += 1,
            (Outcome::Unknown, true) => report.proven += 1,
            (Outcome::Unknown, false) => report.unknown += 1,
        }
    }
    report
}

impl Report {
    /// Returns true if nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.violations.is_empty()
    }

    /// Returns true if something of this kind is wrong.
    pub fn has(&self, kind: Kind) -> bool {
        self.violations.iter().any(|violation| violation.kind == kind)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { committed, aborted, proven, unknown, violations } = self;
        write!(f, "{committed} committed, {aborted} aborted, ")?;
        write!(f, "{unknown} unknown and {proven} proven to have happened; ")?;
        match violations.len() {
            0 => write!(f, "strictly serializable"),
            count => {
                write!(f, "{count} violations")?;
                violations.iter().try_for_each(|violation| write!(f, "\n{violation}"))
            }
        }
    }
}
