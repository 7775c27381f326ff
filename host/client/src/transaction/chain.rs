//! A transaction in one chain: expectations, writes, commit.
//!
//! Promises exactly one commit, or a conflict that names every expectation that failed. Leaves out
//! repeats after a conflict (`closure.rs`).

use aspen_core::ids::Revision;
use aspen_core::key::KeyRange;
use aspen_core::transaction::{ConflictError, Expectation, Expiry, Transact, TransactionBuilder};

use crate::client::Client;
use crate::error::*;
use crate::writes::Commit;

/// The outcome of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionOutcome {
    /// The transaction committed.
    Committed(Commit),
    /// An expectation does not hold; nothing was written.
    Conflict {
        /// The shard's revision.
        revision: Revision,
        /// Every expectation that failed, with the present record: a retry needs no read.
        keys: Vec<ConflictError>,
    },
}

/// [`TransactionBuilder`], of a client: ends with [`Self::commit`].
pub struct ClientTransaction {
    client: Client,
    builder: TransactionBuilder,
}

impl Client {
    /// Begins a transaction in one chain: expectations, writes, [`ClientTransaction::commit`].
    ///
    /// ```no_run
    /// # async fn example(client: aspen_client::Client) -> Result<(), aspen_client::WriteError> {
    /// use aspen_client::TransactionOutcome;
    /// let seen = client.get("stock/42").await?;
    /// let done = client.transaction().read("stock/42", &seen).write("stock/42", "6").commit().await?;
    /// match done {
    ///     TransactionOutcome::Committed(committed) => println!("at {}", committed.revision),
    ///     TransactionOutcome::Conflict { keys, .. } => println!("changed: {}", keys[0]),
    /// }
    /// # Ok(()) }
    /// ```
    pub fn transaction(&self) -> ClientTransaction {
        ClientTransaction { client: self.clone(), builder: TransactionBuilder::new() }
    }
}

impl ClientTransaction {
    /// See [`TransactionBuilder::read`].
    pub fn read(self, key: impl AsRef<[u8]>, expected: impl Into<Expectation>) -> Self {
        self.with(|builder| builder.read(key, expected))
    }

    /// See [`TransactionBuilder::absent`].
    pub fn absent(self, key: impl AsRef<[u8]>) -> Self {
        self.with(|builder| builder.absent(key))
    }

    /// See [`TransactionBuilder::unchanged`].
    pub fn unchanged(self, range: impl Into<KeyRange>, since: Revision) -> Self {
        self.with(|builder| builder.unchanged(range, since))
    }

    /// See [`TransactionBuilder::write`].
    pub fn write(self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.with(|builder| builder.write(key, value))
    }

    /// See [`TransactionBuilder::write_expiring`].
    pub fn write_expiring(
        self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        expiry: Expiry,
    ) -> Self {
        self.with(|builder| builder.write_expiring(key, value, expiry))
    }

    /// See [`TransactionBuilder::delete`].
    pub fn delete(self, key: impl AsRef<[u8]>) -> Self {
        self.with(|builder| builder.delete(key))
    }

    fn with(self, add: impl FnOnce(TransactionBuilder) -> TransactionBuilder) -> Self {
        Self { builder: add(self.builder), ..self }
    }

    /// Commits the transaction, exactly once for any number of lost replies.
    pub async fn commit(self) -> Result<TransactionOutcome, WriteError> {
        let command = self.builder.build().map_err(Invalid::from)?;
        let transact = Transact { return_values: true, ..command.into() };
        match self.client.write(transact).await {
            Ok(committed) => Ok(TransactionOutcome::Committed(committed)),
            Err(WriteError::Conflict { revision, conflicts: keys }) => {
                Ok(TransactionOutcome::Conflict { revision, keys })
            }
            Err(error) => Err(error),
        }
    }
}
