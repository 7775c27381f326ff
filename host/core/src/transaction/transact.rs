//! [`Transact`]: a transaction as the log holds it. Reads that must still hold, and operations.
//!
//! ```text
//! client A                          client B                         shard
//! get x -> 5, mod revision r7                                        x = 5   r7
//!                                   get x -> 5, mod revision r7
//!                                   x was r7: set x 6   ---------->  x = 6   r8
//! x was r7: set x 6   ------------------------------------------->  conflict: x is r8
//! get x -> 6, mod revision r8; x was r8: set x 7   -------------->  x = 7   r9
//! ```
//!
//! Promises that checks and operations are one atomic step at one point of the log: all operations
//! happen or none. Every form of write (see `write_command.rs`) becomes this one form, so one rule sets
//! all versions and revisions. Leaves out how a transaction is applied (`apply/transact.rs`).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::key::Key;
use crate::limits::{LEASE_TTL_MS_MAX, TXN_BYTES_MAX, TXN_OPS_MAX};
use crate::refusal::Refusal;
use crate::transaction::operation::{Expiry, Operation, WriteOp};
use crate::transaction::read_set::{Read, check_read_set, read_keys};

/// If every read still holds, do `then`; else do `otherwise`, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transact {
    /// Checked in order, against the state before the operations. A key may occur more than once.
    pub reads: Vec<Read>,
    /// Done in order; each operation sees the effects of the earlier ones. A key written twice gets
    /// two versions and one revision; the last value stays.
    pub then: Vec<Operation>,
    /// Done if a read does not hold. `None`: the outcome is a conflict that names each failed read.
    pub otherwise: Option<Vec<Operation>>,
    /// True: a conflict carries the present records back, so that a retry needs no read.
    pub return_values: bool,
}

impl Transact {
    /// Makes a transaction of writes without a condition.
    pub fn writes(writes: impl IntoIterator<Item = WriteOp>) -> Transact {
        let then = writes.into_iter().map(Operation::Write).collect();
        Transact { then, ..Transact::default() }
    }

    /// Returns the operations of both branches.
    pub fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.then.iter().chain(self.otherwise.iter().flatten())
    }

    /// Checks the limits that the transaction alone decides.
    pub fn check(&self) -> Result<(), Refusal> {
        let operations = self.reads.len() + self.operations().count();
        if operations > TXN_OPS_MAX {
            return Err(Refusal::TooManyOperations { operations: operations as u64 });
        }
        let bytes: usize = self.operations().map(Operation::bytes).sum();
        if bytes > TXN_BYTES_MAX {
            return Err(Refusal::TransactionTooLarge { bytes: bytes as u64 });
        }
        let allowed = 1..=LEASE_TTL_MS_MAX;
        let mut ttls = self.operations().filter_map(Operation::ttl_ms);
        if let Some(ttl_ms) = ttls.find(|ttl_ms| !allowed.contains(ttl_ms)) {
            return Err(Refusal::TtlOutOfRange { ttl_ms });
        }
        check_read_set(&self.reads)
    }

    /// Returns the bytes of keys, values and operands.
    pub fn bytes(&self) -> usize {
        let operations: usize = self.operations().map(Operation::bytes).sum();
        operations + self.reads.iter().map(Read::bytes).sum::<usize>()
    }

    /// Returns the number of leases that the transaction grants at most.
    pub fn leases(&self) -> usize {
        self.operations().filter(|operation| operation.ttl_ms().is_some()).count()
    }

    /// Returns every single key of the transaction; ranges are not among them.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        read_keys(&self.reads).chain(self.operations().filter_map(Operation::key))
    }

    /// Refuses a form that cannot be done across shards.
    pub fn check_across(&self) -> Result<(), Refusal> {
        for branch in [&self.then[..], self.otherwise.as_deref().unwrap_or_default()] {
            let mut written: BTreeSet<&Key> = BTreeSet::new();
            for operation in branch {
                match operation {
                    Operation::Get(key) if written.contains(key) => {
                        return Err(Refusal::GetAfterWrite { key: key.clone() });
                    }
                    Operation::Get(_) => {}
                    Operation::Write(write) if matches!(write.expiry(), Expiry::Lease(_)) => {
                        return Err(Refusal::LeaseAcrossShards);
                    }
                    Operation::Write(write) => {
                        written.insert(write.key());
                    }
                    _ => return Err(Refusal::LeaseAcrossShards),
                }
            }
        }
        Ok(())
    }
}
