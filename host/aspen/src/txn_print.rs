//! Transactions and their results as text: one line for each statement, result and conflict.
//!
//! Promises that `txn_text.rs` reads back the text of [`print()`]. Results repeat their operation. Leaves out JSON (`commands/txn.rs`).

use aspen_core::key::{Key, KeyRange};
use aspen_core::protocol::Outcome;
use aspen_core::transaction::{
    Compare, ConflictError, Expectation, Expiry, Operation, OperationResult, Read, Transact,
    WriteOp,
};
use aspen_core::view::Record;

use crate::txn_words::{quoted, word};

/// Returns the statements of a transaction.
pub fn print(transact: &Transact) -> String {
    let mut lines: Vec<String> = transact.reads.iter().map(expectation).collect();
    lines.extend(transact.then.iter().map(operation));
    if let Some(otherwise) = &transact.otherwise {
        lines.push("else".into());
        lines.extend(otherwise.iter().map(operation));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn expectation(read: &Read) -> String {
    match read {
        Read::Key { key, expected } => {
            let key = word(key.as_bytes());
            match expected {
                Expectation::Absent => format!("read {key} absent"),
                Expectation::Version(version) => format!("read {key} version {}", version.get()),
                Expectation::ModRevision(revision) => format!("read {key} mod {}", revision.get()),
                Expectation::UnchangedSince(since) => format!("read {key} since {}", since.get()),
                Expectation::Compare(compare) => format!("if {key} {}", comparison(compare)),
            }
        }
        Read::Range { range, unchanged_since, .. } => {
            format!("unchanged {} since {}", print_range(range), unchanged_since.get())
        }
    }
}

fn comparison(compare: &Compare) -> String {
    match compare {
        Compare::Value(relation, value) => format!("value {relation} {}", word(value.as_bytes())),
        Compare::Version(relation, version) => format!("version {relation} {}", version.get()),
        Compare::CreateRevision(relation, revision) => {
            format!("create {relation} {}", revision.get())
        }
        Compare::ModRevision(relation, revision) => format!("mod {relation} {}", revision.get()),
        Compare::Lease(relation, lease) => format!("lease {relation} {}", lease.get()),
    }
}

fn print_range(range: &KeyRange) -> String {
    if KeyRange::prefix(range.start.clone()) == *range {
        return word(&range.start);
    }
    // A point beside the two points in the middle would be read as one of them.
    let side = |bytes: &[u8]| match bytes {
        [] => String::new(),
        [b'.', ..] | [.., b'.'] => quoted(bytes),
        _ => word(bytes),
    };
    format!("{}..{}", side(&range.start), range.end.as_ref().map_or(String::new(), |end| side(end)))
}

/// Returns an operation as a statement.
pub fn operation(operation: &Operation) -> String {
    match operation {
        Operation::Get(key) => format!("get {}", word(key.as_bytes())),
        Operation::Write(WriteOp::Set { key, value, expiry }) => {
            let set = format!("set {} {}", word(key.as_bytes()), word(value.as_bytes()));
            if *expiry == Expiry::Never { set } else { format!("{set} {}", print_expiry(*expiry)) }
        }
        Operation::Write(WriteOp::Delete { key }) => format!("delete {}", word(key.as_bytes())),
        Operation::Write(WriteOp::Expire { key, expiry }) => {
            format!("expire {} {}", word(key.as_bytes()), print_expiry(*expiry))
        }
        Operation::Grant { ttl_ms } => format!("grant ttl {}", print_ms(*ttl_ms)),
        Operation::KeepAlive(lease) => format!("keepalive {}", lease.get()),
        Operation::Revoke(lease) => format!("revoke {}", lease.get()),
    }
}

fn print_expiry(expiry: Expiry) -> String {
    match expiry {
        Expiry::Never => "never".into(),
        Expiry::Keep => "keep".into(),
        Expiry::Lease(lease) => format!("lease {}", lease.get()),
        Expiry::After(ttl_ms) => format!("ttl {}", print_ms(ttl_ms)),
    }
}

/// Returns milliseconds in the largest unit that divides them.
pub fn print_ms(ms: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let unit = units.into_iter().find(|(unit_ms, _)| ms >= *unit_ms && ms.is_multiple_of(*unit_ms));
    let (unit_ms, unit) = unit.unwrap_or((1, "ms"));
    format!("{}{unit}", ms / unit_ms)
}

/// Returns the outcome of a transaction, a line each: its results and the revision, or its conflicts.
pub fn print_outcome(transact: &Transact, outcome: &Outcome) -> Vec<String> {
    match outcome {
        Outcome::Committed { revision, succeeded, results, .. } => {
            let done = print_results(transact, *succeeded, results);
            done.chain([print_committed(transact, *succeeded, revision.get())]).collect()
        }
        Outcome::Conflict { revision, conflicts } => {
            let first = format!("conflict at revision {}", revision.get());
            std::iter::once(first).chain(conflicts.iter().map(print_conflict)).collect()
        }
        Outcome::Refused(refusal) => vec![format!("refused: {refusal}")],
        other => vec![format!("{other:?}")],
    }
}

/// Returns the line that ends a commit.
pub fn print_committed(transact: &Transact, succeeded: bool, revision: u64) -> String {
    let branch = match (&transact.otherwise, succeeded) {
        (None, _) => "",
        (Some(_), true) => "then: ",
        (Some(_), false) => "else: ",
    };
    format!("{branch}committed at revision {revision}")
}

/// Returns the operations that were done.
pub fn operations_done(transact: &Transact, succeeded: bool) -> &[Operation] {
    let otherwise = transact.otherwise.as_deref().unwrap_or_default();
    if succeeded { &transact.then } else { otherwise }
}

/// Returns a line for each operation done.
pub fn print_results<'a>(
    transact: &'a Transact,
    succeeded: bool,
    results: &'a [OperationResult],
) -> impl Iterator<Item = String> {
    let operations = operations_done(transact, succeeded).iter();
    operations.zip(results).map(|(done, result)| match (done, result) {
        (Operation::Get(key), OperationResult::Got(Some(record))) => {
            format!("get {}", print_record(key, record))
        }
        (_, OperationResult::Got(Some(record))) => quoted(record.value.as_bytes()),
        (_, OperationResult::Got(None)) => format!("{}: absent", operation(done)),
        (_, OperationResult::Written { version } | OperationResult::Deleted { version })
            if version.get() == 0 =>
        {
            format!("{}: was absent", subject(done))
        }
        (_, OperationResult::Written { version }) => {
            format!("{}: version {}", subject(done), version.get())
        }
        (_, OperationResult::Deleted { version }) => {
            format!("{}: removed version {}", subject(done), version.get())
        }
        (_, OperationResult::Granted { lease }) => {
            format!("{}: lease {}", operation(done), lease.get())
        }
        (_, OperationResult::KeptAlive { due }) => {
            format!("{}: due at {} ms", operation(done), due.get())
        }
        (_, OperationResult::Revoked { keys }) => {
            format!("{}: removed {keys} keys", operation(done))
        }
    })
}

/// Returns an operation without its value and expiry.
fn subject(done: &Operation) -> String {
    match done {
        Operation::Write(WriteOp::Set { key, .. }) => format!("set {}", word(key.as_bytes())),
        Operation::Write(WriteOp::Expire { key, .. }) => format!("expire {}", word(key.as_bytes())),
        other => operation(other),
    }
}

/// Returns a key with its record.
pub fn print_record(key: &Key, record: &Record) -> String {
    let Record { value, version, create_revision, mod_revision, lease } = record;
    let lease = if lease.get() == 0 { String::new() } else { format!(" lease {}", lease.get()) };
    format!(
        "{} = {} version {} create {} mod {}{lease}",
        word(key.as_bytes()),
        quoted(value.as_bytes()),
        version.get(),
        create_revision.get(),
        mod_revision.get()
    )
}

/// Returns a read that failed, with the present value.
pub fn print_conflict(conflict: &ConflictError) -> String {
    match &conflict.record {
        Some(record) => format!("{conflict}, value {}", quoted(record.value.as_bytes())),
        None => conflict.to_string(),
    }
}

/// Returns a key as one word.
pub fn word_of(key: &Key) -> String {
    word(key.as_bytes())
}
