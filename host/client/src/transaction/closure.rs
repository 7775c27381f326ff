//! A transaction as a closure: run until it commits without a conflict.
//!
//! Promises one commit, and pauses with jitter between attempts, so that clients which fight for one key
//! get through. Leaves out a single attempt (`attempt.rs`).

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use aspen_core::ids::Revision;
use aspen_net::Backoff;

use crate::client::Client;
use crate::error::*;
use crate::transaction::attempt::Transaction;

/// Attempts of a closure: with 64 clients on one key, and jitter, the unluckiest need about 30.
const ATTEMPTS_MAX: u32 = 200;

/// Longest pause before the second attempt; doubles with each attempt, up to [`PAUSE_MAX`]. The client
/// waits a random part of it ("full jitter": Brooker, "Exponential Backoff and Jitter", 2015).
const PAUSE_MIN: Duration = Duration::from_millis(1);
/// See [`PAUSE_MIN`].
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// The result of a closure whose transaction committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionReply<T> {
    /// The value that the closure returned.
    pub value: T,
    /// The revision of the commit; of a transaction that only read, a revision at which all reads hold.
    pub revision: Revision,
    /// Times that the closure was run.
    pub attempts: u32,
}

impl Client {
    /// Runs `work` until it commits without a conflict.
    ///
    /// `work` may run several times. It should only read and write through its [`Transaction`], and pass
    /// errors on.
    ///
    /// ```no_run
    /// # async fn example(client: aspen_client::Client) -> Result<(), aspen_client::TransactionError> {
    /// let done = client.transact(|t| async move {
    ///     let count = t.get("count").await?.map_or(0, |value| value.as_bytes()[0]);
    ///     t.set("count", [count + 1]);
    ///     Ok(count + 1)
    /// });
    /// println!("now {}", done.await?.value);
    /// # Ok(()) }
    /// ```
    pub async fn transact<T, F, W>(&self, work: W) -> Result<TransactionReply<T>, TransactionError>
    where
        W: Fn(Transaction) -> F,
        F: Future<Output = Result<T, TransactionError>>,
    {
        let mut known = BTreeMap::new();
        let mut backoff = Backoff::new(PAUSE_MIN, PAUSE_MAX);
        for attempts in 1..=ATTEMPTS_MAX {
            let transaction = Transaction::new(self.clone(), std::mem::take(&mut known));
            let result = work(transaction.clone()).await;
            let changed = transaction.take_changed();
            let ended = match (changed, result) {
                (Some(changed), _) => Err(changed),
                (None, Err(error)) => return Err(error),
                (None, Ok(value)) => transaction.commit().await?.map(|revision| (value, revision)),
            };
            match ended {
                Ok((value, revision)) => return Ok(TransactionReply { value, revision, attempts }),
                Err(now) => known = now,
            }
            let pause = backoff.pause();
            tokio::time::sleep(pause.mul_f64(rand::random_range(0.0..1.0))).await;
        }
        ContendedSnafu { attempts: ATTEMPTS_MAX }.fail()
    }
}
