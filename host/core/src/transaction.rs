//! Transactions: the reads that must still hold, and the operations that follow.
//!
//! Users write a [`WriteCommand`], by hand or with [`TransactionBuilder`]. Each form of it becomes one
//! [`Transact`], which the log holds. Leaves out how a transaction is applied (`apply/transact.rs`).

mod read_set;
mod operation;
mod transact;
mod conflict;
mod write_command;
mod builder;

pub use builder::{BuildError, TransactionBuilder};
pub use conflict::{Actual, ConflictError};
pub use operation::{Expiry, Operation, OperationResult, WriteOp};
pub use read_set::{Compare, Expectation, Read, Relation, check_read_set, read_keys};
pub use transact::Transact;
pub use write_command::WriteCommand;
