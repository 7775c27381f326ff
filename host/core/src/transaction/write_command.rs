//! [`WriteCommand`]: the forms in which users write. Each form becomes one [`Transact`].
//!
//! Promises nothing of its own: the meaning of a form is the transaction that the form becomes.
//!
//! ```
//! use aspen_core::ids::{LeaseId, Revision};
//! use aspen_core::key::{Key, Value};
//! use aspen_core::transaction::{Compare, Expiry, Operation, Read, Relation, Transact};
//! use aspen_core::transaction::{WriteCommand, WriteOp};
//!
//! let key = Key::try_from("stock/42")?;
//! let value = Value::try_from("6")?;
//! let (k, v) = (|| key.clone(), || value.clone());
//! let ten_seconds = Expiry::After(10_000);
//! let forms = [
//!     WriteCommand::Set { key: k(), value: v() },
//!     WriteCommand::SetExpiring { key: k(), value: v(), expiry: ten_seconds },
//!     WriteCommand::SetMulti { pairs: vec![(k(), v())] },
//!     WriteCommand::Delete { key: k() },
//!     WriteCommand::DeleteMulti { keys: vec![k()] },
//!     // An integer expects a version, a `Revision` a mod revision.
//!     WriteCommand::CompareAndSwap { key: k(), expected: 3.into(), value: v() },
//!     WriteCommand::CompareAndDelete { key: k(), expected: Revision::new(9).into() },
//!     WriteCommand::Batch { operations: vec![Operation::Get(k()), WriteOp::set(k(), v()).into()] },
//!     WriteCommand::ConditionalBatch {
//!         conditions: vec![Read::key(k(), 3)],
//!         operations: vec![WriteOp::Delete { key: k() }.into()],
//!     },
//!     WriteCommand::CompareThenElse {
//!         compare: vec![Read::key(k(), Compare::Value(Relation::Equal, v()))],
//!         then: vec![WriteOp::Delete { key: k() }.into()],
//!         otherwise: vec![Operation::Get(k())],
//!     },
//!     WriteCommand::OptimisticTransaction {
//!         read_set: vec![Read::key(k(), Revision::new(9))],
//!         write_set: vec![WriteOp::set(k(), v())],
//!     },
//!     WriteCommand::LeaseGrant { ttl_ms: 10_000 },
//!     WriteCommand::LeaseAttach { key: k(), lease: LeaseId::new(1) },
//!     WriteCommand::LeaseKeepAlive { lease: LeaseId::new(1) },
//!     WriteCommand::LeaseRevoke { lease: LeaseId::new(1) },
//! ];
//! for form in forms {
//!     assert!(Transact::from(form).check().is_ok());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::ids::LeaseId;
use crate::key::{Key, Value};
use crate::transaction::operation::{Expiry, Operation, WriteOp};
use crate::transaction::read_set::{Expectation, Read};
use crate::transaction::transact::Transact;

/// A write. All forms are atomic, and all set versions and revisions by one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteCommand {
    /// Creates or replaces one key.
    Set { key: Key, value: Value },
    /// Creates or replaces one key that is removed again after a time or with a lease.
    SetExpiring { key: Key, value: Value, expiry: Expiry },
    /// Creates or replaces several keys.
    SetMulti {
        /// Keys and values; of a key that occurs twice the last value stays.
        pairs: Vec<(Key, Value)>,
    },
    /// Removes one key.
    Delete { key: Key },
    /// Removes several keys.
    DeleteMulti {
        /// The keys; absent ones are no error.
        keys: Vec<Key>,
    },
    /// Writes one key if it is as expected.
    CompareAndSwap {
        /// The key.
        key: Key,
        expected: Expectation,
        value: Value,
    },
    /// Removes one key if it is as expected.
    CompareAndDelete { key: Key, expected: Expectation },
    /// Does all operations in order.
    Batch { operations: Vec<Operation> },
    /// Does all operations in order if every condition holds, else none.
    ConditionalBatch { conditions: Vec<Read>, operations: Vec<Operation> },
    /// Compare, then, else: as etcd's transaction. Commits either way; the outcome tells the
    /// branch.
    CompareThenElse {
        /// All must hold for `then`.
        compare: Vec<Read>,
        /// Done if all comparisons hold.
        then: Vec<Operation>,
        /// Done if one does not hold.
        otherwise: Vec<Operation>,
    },
    /// Writes `write_set` if everything in `read_set` still holds.
    OptimisticTransaction {
        /// The reads of the transaction.
        read_set: Vec<Read>,
        /// The writes of the transaction.
        write_set: Vec<WriteOp>,
    },
    /// Grants a lease.
    LeaseGrant {
        /// The time to live in milliseconds.
        ttl_ms: u64,
    },
    /// Renews a lease for its whole time to live.
    LeaseKeepAlive { lease: LeaseId },
    /// Ends a lease and removes its keys.
    LeaseRevoke { lease: LeaseId },
    /// Attaches a key to a lease; the value stays.
    LeaseAttach { key: Key, lease: LeaseId },
}

fn expect(key: &Key, expected: Expectation) -> Vec<Read> {
    vec![Read::Key { key: key.clone(), expected }]
}

fn given(reads: Vec<Read>, then: Vec<Operation>) -> Transact {
    Transact { reads, then, ..Transact::default() }
}

impl From<WriteCommand> for Transact {
    fn from(command: WriteCommand) -> Transact {
        match command {
            WriteCommand::Set { key, value } => Transact::writes([WriteOp::set(key, value)]),
            WriteCommand::SetExpiring { key, value, expiry } => {
                Transact::writes([WriteOp::Set { key, value, expiry }])
            }
            WriteCommand::SetMulti { pairs } => {
                Transact::writes(pairs.into_iter().map(|(key, value)| WriteOp::set(key, value)))
            }
            WriteCommand::Delete { key } => Transact::writes([WriteOp::Delete { key }]),
            WriteCommand::DeleteMulti { keys } => {
                Transact::writes(keys.into_iter().map(|key| WriteOp::Delete { key }))
            }
            WriteCommand::CompareAndSwap { key, expected, value } => {
                given(expect(&key, expected), vec![WriteOp::set(key, value).into()])
            }
            WriteCommand::CompareAndDelete { key, expected } => {
                given(expect(&key, expected), vec![WriteOp::Delete { key }.into()])
            }
            WriteCommand::Batch { operations } => given(vec![], operations),
            WriteCommand::ConditionalBatch { conditions, operations } => {
                given(conditions, operations)
            }
            WriteCommand::CompareThenElse { compare, then, otherwise } => {
                Transact { otherwise: Some(otherwise), ..given(compare, then) }
            }
            WriteCommand::OptimisticTransaction { read_set, write_set } => {
                Transact { reads: read_set, ..Transact::writes(write_set) }
            }
            WriteCommand::LeaseGrant { ttl_ms } => given(vec![], vec![Operation::Grant { ttl_ms }]),
            WriteCommand::LeaseKeepAlive { lease } => {
                given(vec![], vec![Operation::KeepAlive(lease)])
            }
            WriteCommand::LeaseRevoke { lease } => given(vec![], vec![Operation::Revoke(lease)]),
            WriteCommand::LeaseAttach { key, lease } => {
                Transact::writes([WriteOp::Expire { key, expiry: Expiry::Lease(lease) }])
            }
        }
    }
}
