//! Random transactions on few keys, through the client: the only part of the history that knows it.
//!
//! One recorded transaction is work that the store promises to do at one moment: a single get, a scan
//! of one page of one shard, a blind write, or a transaction whose reads are checked when it commits.
//! Reads that a transaction only made on the way are part of it because it expects them.

use std::collections::{BTreeMap, BTreeSet};

use aspen_client::{
    Client, Item, Key, KeyRange, OperationResult, Read, RequestError, ScanOptions, Value,
    WriteCommand, WriteError, WriteOp,
};

use crate::history::{Choices, Operation, Outcome, Record, Recorder};

/// A client with its recorder and its choices.
pub struct Workload {
    client: Client,
    recorder: Recorder,
    process: u64,
    choices: Choices,
    prefix: &'static str,
    keys: u64,
    /// Values written so far: with the process, they make each value the only one.
    values: u64,
}

impl Workload {
    /// Keys that all clients together work on; they live on one shard.
    pub const KEYS: u64 = 10;
    const PREFIX: &str = "{hot}/";

    /// Choices follow from the number of the process and the seed.
    pub fn new(client: Client, recorder: Recorder, process: u64, seed: u64) -> Self {
        Self::on(Self::PREFIX, client, recorder, process, seed)
    }

    /// On keys of another prefix, which ends with a slash. If it has no tag, the keys live on all
    /// shards: then there are no scans, for a plain one is of several moments.
    pub fn on(
        prefix: &'static str,
        client: Client,
        recorder: Recorder,
        process: u64,
        seed: u64,
    ) -> Self {
        let choices = Choices::new(seed.wrapping_mul(1_000).wrapping_add(process));
        Self { client, recorder, process, choices, prefix, keys: Self::KEYS, values: 0 }
    }

    /// Does one thing to one key and records it.
    pub async fn register_step(&mut self) {
        match self.choices.below(8) {
            0..4 => self.get().await,
            4 => {
                let delete = Operation::Delete { key: self.key(), version: None };
                self.blind(delete).await;
            }
            _ => {
                let set = self.set();
                self.blind(set).await;
            }
        }
    }

    fn is_across(&self) -> bool {
        !self.prefix.starts_with('{')
    }

    /// Does one piece of work and records it with its outcome.
    pub async fn step(&mut self) {
        match self.choices.below(10) {
            1 if !self.is_across() => self.scan().await,
            0 | 1 => self.get().await,
            2 => {
                let set = self.set();
                self.blind(set).await;
            }
            3 => {
                let delete = Operation::Delete { key: self.key(), version: None };
                self.blind(delete).await;
            }
            _ => self.transaction().await,
        }
    }

    fn key(&mut self) -> String {
        format!("{}{}", self.prefix, self.choices.below(self.keys))
    }

    fn some_keys(&mut self, most: u64) -> BTreeSet<String> {
        (0..=self.choices.below(most)).map(|_| self.key()).collect()
    }

    fn set(&mut self) -> Operation {
        self.values += 1;
        let value = format!("{}.{}", self.process, self.values);
        Operation::Set { key: self.key(), value, version: None }
    }

    async fn get(&mut self) {
        let key = self.key();
        self.get_key(key).await;
    }

    /// Reads every key: at the end, this shows which unknown outcomes happened.
    pub async fn read_all(&self) {
        match self.is_across() {
            false => self.scan().await,
            true => {
                for number in 0..self.keys {
                    self.get_key(format!("{}{number}", self.prefix)).await;
                }
            }
        }
    }

    async fn get_key(&self, key: String) {
        let running = self.recorder.begin(self.process);
        match self.client.get(&key).await {
            Ok(found) => {
                let found = found.as_ref().map(record);
                running.end(nothing_written(), vec![Operation::Get { key, found }]);
            }
            Err(_) => running.end(Outcome::Aborted, vec![]),
        }
    }

    /// Reads all keys at once.
    pub async fn scan(&self) {
        let range = KeyRange::prefix(self.prefix);
        let running = self.recorder.begin(self.process);
        match self.client.scan(range, ScanOptions::default()).await {
            Ok(items) => {
                running.end(nothing_written(), vec![self.scanned(&items)]);
            }
            Err(_) => running.end(Outcome::Aborted, vec![]),
        }
    }

    /// A scan of every key of the workload.
    fn scanned(&self, items: &[Item]) -> Operation {
        let item = |item: &Item| (item.key.to_string(), record(&item.record));
        let found = items.iter().map(item).collect();
        // The first key beyond the prefix: '0' comes after '/'.
        let end = format!("{}0", self.prefix.trim_end_matches('/'));
        Operation::Scan { start: self.prefix.into(), end: Some(end), found }
    }

    /// A write without reads.
    async fn blind(&mut self, write: Operation) {
        let mut running = self.recorder.begin(self.process);
        running.attempt(vec![write.clone()]);
        let (outcome, operations) = self.commit(vec![], vec![], vec![write]).await;
        running.end(outcome, operations);
    }

    /// Reads some keys or all of them, then writes some, if nothing read has changed.
    async fn transaction(&mut self) {
        let (read_keys, write_keys) = (self.some_keys(3), self.some_keys(3));
        let is_range = self.choices.below(4) == 0 && !self.is_across();
        let mut running = self.recorder.begin(self.process);
        let (mut reads, mut read_set) = (vec![], vec![]);
        if is_range {
            let range = KeyRange::prefix(self.prefix);
            match self.client.scan_page(range.clone(), ScanOptions::default()).await {
                Ok(page) => {
                    let unchanged_since = page.revision.expect("the prefix fixes the shard");
                    read_set.push(Read::range(range, unchanged_since));
                    reads.push(self.scanned(&page.items));
                }
                Err(_) => return running.end(Outcome::Aborted, reads),
            }
        }
        for key in read_keys {
            match self.client.get(&key).await {
                Ok(found) => {
                    read_set.push(Read::key(to_key(&key), &found));
                    reads.push(Operation::Get { key, found: found.as_ref().map(record) });
                }
                Err(_) => return running.end(Outcome::Aborted, reads),
            }
        }
        let mut writes = vec![];
        if self.choices.below(5) > 0 {
            for key in write_keys {
                writes.push(match self.choices.below(4) {
                    0 => Operation::Delete { key, version: None },
                    _ => match self.set() {
                        Operation::Set { value, .. } => {
                            Operation::Set { key, value, version: None }
                        }
                        other => other,
                    },
                });
            }
        }
        running.attempt([reads.clone(), writes.clone()].concat());
        let (outcome, operations) = self.commit(read_set, reads, writes).await;
        running.end(outcome, operations);
    }

    /// Commits the reads and the writes to be made, and fills in the versions.
    async fn commit(
        &self,
        read_set: Vec<Read>,
        reads: Vec<Operation>,
        mut writes: Vec<Operation>,
    ) -> (Outcome, Vec<Operation>) {
        let write_set = writes.iter().filter_map(write).collect();
        let command = WriteCommand::OptimisticTransaction { read_set, write_set };
        let outcome = match self.client.write(command).await {
            Ok(committed) => {
                for (write, told) in writes.iter_mut().zip(&committed.results) {
                    if let Operation::Set { version, .. } | Operation::Delete { version, .. } =
                        write
                        && let OperationResult::Written { version: told }
                        | OperationResult::Deleted { version: told } = told
                    {
                        *version = Some(told.get());
                    }
                }
                // That of one of the shards, if there are several.
                let revision = (0, committed.revision.get());
                let revisions = Some(revision).filter(|_| !self.is_across());
                let revisions: BTreeMap<u16, u64> = revisions.into_iter().collect();
                Outcome::Committed { revisions }
            }
            Err(error) => outcome_of(&error),
        };
        (outcome, [reads, writes].concat())
    }
}

/// Returns the outcome of a write, as far as its error tells.
fn outcome_of(error: &WriteError) -> Outcome {
    match error {
        WriteError::Conflict { .. } | WriteError::Refusal { .. } => Outcome::Aborted,
        WriteError::Request { source: RequestError::Invalid { .. } } => Outcome::Aborted,
        WriteError::Request { .. } => Outcome::Unknown,
    }
}

fn nothing_written() -> Outcome {
    Outcome::Committed { revisions: BTreeMap::new() }
}

fn record(record: &aspen_client::Record) -> Record {
    Record {
        value: record.value.as_bytes().escape_ascii().to_string(),
        version: record.version.get(),
        create_revision: record.create_revision.get(),
        mod_revision: record.mod_revision.get(),
    }
}

fn write(operation: &Operation) -> Option<WriteOp> {
    match operation {
        Operation::Set { key, value, .. } => {
            let value = Value::try_from(&value[..]).expect("values of a workload are short");
            Some(WriteOp::set(to_key(key), value))
        }
        Operation::Delete { key, .. } => Some(WriteOp::Delete { key: to_key(key) }),
        Operation::Get { .. } | Operation::Scan { .. } => None,
    }
}

fn to_key(key: &str) -> Key {
    Key::try_from(key).expect("keys of a workload are short")
}
