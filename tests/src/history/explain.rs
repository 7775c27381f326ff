//! Transactions in the text of a violation.

use crate::history::index::Index;

/// A transaction's name in reports: `T` and its place in the history.
pub fn name(transaction: usize) -> String {
    format!("T{transaction}")
}

/// Transactions with all that they did, each on lines of its own.
pub fn list(index: &Index<'_>, transactions: &[usize]) -> String {
    let mut shown: Vec<usize> = vec![];
    for transaction in transactions {
        if !shown.contains(transaction) {
            shown.push(*transaction);
        }
    }
    let line = |at: &usize| format!("\n  {} {}", name(*at), index.transaction(*at));
    shown.iter().map(line).collect()
}
