//! Transactions: in one chain, or as a closure that is run until it commits.
//!
//! ```text
//! attempt 1   get a (r7)   get b, if a is still as of r7   commit: a, b as read?  conflict at r9
//! attempt 2   a and b as of r9 came with the conflict      commit: a, b as of r9?  committed r10
//! ```
//!
//! Promises of the closure form: every read sees one view of its shard (each is answered only if
//! all earlier ones on that shard still hold) and the transaction's own writes; what it read is
//! checked at commit; what it wrote happens once or not at all, also when a reply is lost, because a
//! commit has a request id of its session. A conflict brings the present records, so a retry usually
//! needs no read. Reads on several shards may be of different moments until the commit compares
//! them: a closure that relies on what holds between such keys may see it broken, in an attempt that
//! then does not commit.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aspen_core::limits::TXN_SHARDS_MAX;
use aspen_core::{
    BuildError, ConflictError, Consistency, Expectation, Expiry, Key, KeyRange, Outcome, Page,
    Read, Record, Refusal, Revision, ShardId, ShardRouter, Transact, TransactionBuilder, Value,
    WriteOp,
};
use bytes::Bytes;
use futures::future::try_join_all;
use snafu::{OptionExt, ensure};

use crate::client::{Client, Committed, to_key};
use crate::error::*;
use crate::scan::ScanOptions;

/// Attempts of a closure: with 64 clients on one key, and jitter, the unluckiest need about 30.
const ATTEMPTS_MAX: u32 = 200;

/// Longest pause before the second attempt; doubles with each, up to [`PAUSE_MAX`], and a random
/// part of it is waited ("full jitter": Brooker, "Exponential Backoff and Jitter", 2015).
const PAUSE_MIN: Duration = Duration::from_millis(1);
/// See [`PAUSE_MIN`].
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionOutcome {
    /// It committed.
    Committed(Committed),
    /// What it expected does not hold; it wrote nothing.
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

/// What a closure returned, once its transaction committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transacted<T> {
    /// Its value.
    pub value: T,
    /// The revision that it committed at, or that everything it read was true at.
    pub revision: Revision,
    /// How often it was run.
    pub attempts: u32,
}

impl Client {
    /// A transaction in one chain: expectations, writes, [`ClientTransaction::commit`].
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

    /// Runs `work` until it commits without a conflict. It may run several times, so it should do
    /// nothing but read and write through the [`Transaction`] it gets, and pass errors on.
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
    pub async fn transact<T, F, W>(&self, work: W) -> Result<Transacted<T>, TransactionError>
    where
        W: Fn(Transaction) -> F,
        F: Future<Output = Result<T, TransactionError>>,
    {
        let mut known = BTreeMap::new();
        let mut pause = PAUSE_MIN;
        for attempts in 1..=ATTEMPTS_MAX {
            let transaction = Transaction::new(self.clone(), std::mem::take(&mut known));
            let result = work(transaction.clone()).await;
            let changed = transaction.state().changed.take();
            let ended = match (changed, result) {
                (Some(changed), _) => Err(changed),
                (None, Err(error)) => return Err(error),
                (None, Ok(value)) => transaction.commit().await?.map(|revision| (value, revision)),
            };
            match ended {
                Ok((value, revision)) => return Ok(Transacted { value, revision, attempts }),
                Err(now) => known = now,
            }
            tokio::time::sleep(pause.mul_f64(rand::random_range(0.0..1.0))).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        ContendedSnafu { attempts: ATTEMPTS_MAX }.fail()
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

    /// Commits it, exactly once however often a lost reply makes it travel.
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

/// Records known to be true at one revision; `None` for an absent key.
type Known = BTreeMap<Key, Option<Record>>;

/// One attempt of a closure. Clones are the same transaction.
#[derive(Clone)]
pub struct Transaction {
    client: Client,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    shards: BTreeSet<ShardId>,
    reads: Known,
    ranges: Vec<(ShardId, KeyRange, Revision)>,
    writes: BTreeMap<Key, WriteOp>,
    /// What the last conflict brought.
    known: Known,
    /// The revision that everything read is true at.
    revision: Revision,
    /// The first error of a write, which `set` and `delete` do not report themselves.
    error: Option<TransactionError>,
    /// Set when a read found that an earlier one does not hold any more: what is true now.
    changed: Option<Known>,
}

impl Transaction {
    fn new(client: Client, known: Known) -> Self {
        let state = State { known, ..State::default() };
        Self { client, state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while the lock is held")
    }

    /// The value of a key as the transaction sees it.
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>, TransactionError> {
        let key = to_key(key)?;
        let (shard, reads) = {
            let mut state = self.state();
            if let Some(write) = state.writes.get(&key) {
                return Ok(value_of(write));
            }
            let shard = self.client.router().shard(key.as_bytes());
            state.shards.insert(shard);
            if let Some(record) = state.recall(&key) {
                return Ok(record.map(|record| record.value));
            }
            (shard, state.read_set(|other| other == shard, self.client.router()))
        };
        let consistency = Consistency::Linearizable;
        let read = self.client.read_checked(shard, vec![key.clone()], reads, consistency).await?;
        let records = read.map_err(|outcome| self.reject(outcome))?;
        let mut state = self.state();
        state.moved_to(records.revision);
        let record = records.records.into_iter().next().context(ProtocolSnafu)?;
        state.reads.insert(key, record.clone());
        Ok(record.map(|record| record.value))
    }

    /// The keys of a range in order, with their values, as the transaction sees them: at most
    /// `limit`, all if 0. That no other key is there is part of what is checked at commit. A range
    /// that no `{tag}` keeps on one shard is read on all of them, and then all of them, up to
    /// [`TXN_SHARDS_MAX`], take part in the commit.
    pub async fn scan(
        &self,
        range: impl Into<KeyRange>,
        limit: usize,
    ) -> Result<Vec<(Key, Value)>, TransactionError> {
        let mut range: KeyRange = range.into();
        let router = self.client.router();
        let shards: Vec<ShardId> = match router.range_shard(&range) {
            Some(shard) => vec![shard],
            None => router.all().collect(),
        };
        if shards.len() > TXN_SHARDS_MAX {
            let refusal = Refusal::TooManyShards { shards: shards.len() as u64 };
            return TransactionRefusalSnafu { refusal }.fail();
        }
        self.state().shards.extend(&shards);
        let mut found = BTreeMap::new();
        loop {
            // Own deletes may take away as many as they are.
            let deletes = self.state().writes.len();
            let wanted = if limit == 0 { 0 } else { limit - found.len().min(limit) + deletes };
            let pages = shards.iter().map(|shard| self.page(*shard, range.clone(), wanted));
            let pages = try_join_all(pages).await?;
            // It is known as far as every shard has come; what some have beyond is read again.
            let lasts = pages.iter().filter(|page| page.more).filter_map(|page| page.items.last());
            let rest = lasts.map(|last| &last.key).min().map(|last| range.beyond(last, false));
            let end = rest.as_ref().map(|rest: &KeyRange| rest.start.clone());
            let passed = KeyRange { start: range.start.clone(), end: end.or(range.end.clone()) };
            let mut state = self.state();
            if !passed.is_empty() {
                for (shard, page) in shards.iter().zip(pages) {
                    state.ranges.push((*shard, passed.clone(), page.revision));
                    let items = page.items.into_iter().map(|item| (item.key, item.record.value));
                    found.extend(items.filter(|(key, _)| passed.contains(key.as_bytes())));
                }
                state.overlay(&passed, &mut found);
            }
            match rest {
                Some(rest) if limit == 0 || found.len() < limit => range = rest,
                _ => break,
            }
        }
        let wanted = if limit == 0 { usize::MAX } else { limit };
        Ok(found.into_iter().take(wanted).collect())
    }

    /// The next entries of a range on one shard, if all that was read there still holds.
    async fn page(
        &self,
        shard: ShardId,
        range: KeyRange,
        limit: usize,
    ) -> Result<Page, TransactionError> {
        let reads = self.state().read_set(|other| other == shard, self.client.router());
        let options = ScanOptions { limit, ..ScanOptions::default() };
        let page = self.client.page(shard, range, reads, options).await?;
        let page = page.map_err(|outcome| self.reject(outcome))?;
        ensure!(!page.more || !page.items.is_empty(), ProtocolSnafu);
        self.state().moved_to(page.revision);
        Ok(page)
    }

    /// Creates or replaces a key when the transaction commits. A key or value outside its limits is
    /// reported by the commit.
    pub fn set(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.set_expiring(key, value, Expiry::Never);
    }

    /// As [`Self::set`], for a time or as long as a lease.
    pub fn set_expiring(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, expiry: Expiry) {
        let value = Value::new(Bytes::copy_from_slice(value.as_ref())).map_err(BuildError::from);
        self.write(key, |key| Ok(WriteOp::Set { key, value: value?, expiry }));
    }

    /// Removes a key when the transaction commits.
    pub fn delete(&self, key: impl AsRef<[u8]>) {
        self.write(key, |key| Ok(WriteOp::Delete { key }));
    }

    /// Gives up: the closure returns this, and nothing is written.
    pub fn give_up(&self, reason: impl Into<String>) -> TransactionError {
        TransactionError::GaveUp { reason: reason.into() }
    }

    fn write(&self, key: impl AsRef<[u8]>, make: impl FnOnce(Key) -> Result<WriteOp, BuildError>) {
        let write = || -> Result<WriteOp, TransactionError> { Ok(make(to_key(key)?)?) };
        let mut state = self.state();
        match write() {
            Ok(write) => {
                let key = write.key().clone();
                state.shards.insert(self.client.router().shard(key.as_bytes()));
                state.writes.insert(key, write);
            }
            Err(error) => state.error = state.error.take().or(Some(error)),
        }
    }

    /// Notes what an earlier read that does not hold any more comes to.
    fn reject(&self, outcome: Outcome) -> TransactionError {
        let mut state = self.state();
        match state.now(outcome) {
            Ok(known) => state.changed = Some(known),
            Err(error) => return error,
        }
        TransactionError::Changed
    }

    /// Commits what the closure wrote; the present records if it conflicts.
    async fn commit(&self) -> Result<Result<Revision, Known>, TransactionError> {
        let transact = {
            let mut state = self.state();
            if let Some(error) = state.error.take() {
                return Err(error);
            }
            let then = state.writes.values().cloned().map(Into::into).collect::<Vec<_>>();
            let reads = state.read_set(|_| true, self.client.router());
            // On one shard every read was answered only if those before still held: together they
            // are one view. What came with a conflict counts only once it is checked.
            let is_view = state.shards.len() < 2 && state.known.is_empty();
            if then.is_empty() && (is_view || reads.is_empty()) {
                return Ok(Ok(state.revision));
            }
            Transact { reads, then, otherwise: None, return_values: true }
        };
        match self.client.write(transact).await {
            Ok(committed) => Ok(Ok(committed.revision)),
            Err(WriteError::Conflict { revision, conflicts }) => {
                Ok(Err(self.state().now(Outcome::Conflict { revision, conflicts })?))
            }
            Err(WriteError::Refusal { refusal }) => {
                Ok(Err(self.state().now(Outcome::Refused(refusal))?))
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl State {
    /// Everything read was found true at this revision. What else the last conflict brought was not
    /// asked about, so it may be older than that: it is forgotten.
    fn moved_to(&mut self, revision: Revision) {
        self.revision = revision;
        self.known.clear();
    }

    /// What is known of a key without asking; it counts as read.
    fn recall(&mut self, key: &Key) -> Option<Option<Record>> {
        if let Some(record) = self.reads.get(key) {
            return Some(record.clone());
        }
        let record = self.known.get(key)?.clone();
        self.reads.insert(key.clone(), record.clone());
        Some(record)
    }

    /// What was read on the shards wanted.
    fn read_set(&self, is_wanted: impl Fn(ShardId) -> bool, router: &ShardRouter) -> Vec<Read> {
        let keys = self.reads.iter().filter(|(key, _)| is_wanted(router.shard(key.as_bytes())));
        let keys = keys.map(|(key, record)| Read::key(key.clone(), record));
        let ranges = self.ranges.iter().filter(|(shard, ..)| is_wanted(*shard));
        let ranges = ranges.map(|(shard, range, revision)| Read::Range {
            range: range.clone(),
            unchanged_since: *revision,
            shard: Some(*shard),
        });
        keys.chain(ranges).collect()
    }

    /// The transaction's own writes over what is stored.
    fn overlay(&self, range: &KeyRange, found: &mut BTreeMap<Key, Value>) {
        for (key, write) in self.writes.range::<[u8], _>(range.bounds()) {
            match value_of(write) {
                Some(value) => found.insert(key.clone(), value),
                None => found.remove(key),
            };
        }
    }

    /// What is true of the keys read at the revision of a conflict: those that it names as it says,
    /// the others as they were read.
    fn now(&mut self, outcome: Outcome) -> Result<Known, TransactionError> {
        let conflicts = match outcome {
            Outcome::Conflict { conflicts, .. } => conflicts,
            // Too long ago to tell: read everything again.
            Outcome::Refused(Refusal::RevisionTooOld { .. }) => return Ok(Known::new()),
            Outcome::Refused(refusal) => return TransactionRefusalSnafu { refusal }.fail(),
            _ => return Err(RequestError::Protocol.into()),
        };
        let mut known = std::mem::take(&mut self.reads);
        for ConflictError { key, actual, record, .. } in conflicts {
            match record {
                // There, but it did not fit into the answer.
                None if actual.version.get() > 0 => known.remove(&key),
                record => known.insert(key, record),
            };
        }
        Ok(known)
    }
}

fn value_of(write: &WriteOp) -> Option<Value> {
    match write {
        WriteOp::Set { value, .. } => Some(value.clone()),
        WriteOp::Delete { .. } | WriteOp::Expire { .. } => None,
    }
}
