//! The history with numbers for names, and the sum of each transaction's effect on each key.
//!
//! Keys are numbered in their order, so that a range of keys is a range of numbers. Panics on a
//! history that cannot be checked: that is a mistake of the recorder, not of the store.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use aspen_core::placement::ShardRouter;

use crate::history::{History, Operation, Outcome, Transaction};

/// A history, ready to be asked.
pub struct Index<'a> {
    pub history: &'a History,
    /// The keys, by number.
    pub keys: Vec<&'a str>,
    /// The shard of each key.
    pub shards: Vec<u16>,
    numbers: HashMap<&'a str, u32>,
    writes: HashMap<(u32, &'a str), Write>,
    effects: Vec<Effect<'a>>,
    /// Per transaction, where its effects begin; and the end of all.
    first_effect: Vec<usize>,
}

/// The write that stored a value.
#[derive(Clone, Copy)]
pub struct Write {
    pub transaction: usize,
    /// True if the transaction left the write in place.
    pub is_last: bool,
}

/// The effect of one transaction on one key.
#[derive(Clone, Copy)]
pub struct Effect<'a> {
    pub key: u32,
    /// Sets, all of them.
    pub sets: u64,
    /// Sets after the last delete.
    pub tail_sets: u64,
    pub deletes: bool,
    /// The value it left; `None` if it left the key absent.
    pub value: Option<&'a str>,
    /// The key's version before it, as far as it was told.
    pub before: Option<u64>,
    /// The key's version after it, as far as it was told.
    pub after: Option<u64>,
    /// True if the transaction changed the key; `None` for a delete whose result was not told.
    pub changed: Option<bool>,
    /// Told versions that do not follow each other, if any.
    pub broken: Option<(u64, u64)>,
}

impl<'a> Index<'a> {
    /// # Panics
    /// If two writes of a key store the same value, or a transaction ended before it began.
    pub fn new(history: &'a History) -> Self {
        let mut index = Self::with_keys(history);
        for (at, transaction) in history.transactions.iter().enumerate() {
            let ended = transaction.end() >= transaction.invoked;
            assert!(ended, "transaction {at} ended before it began");
            index.add_writes(at, transaction);
            index.first_effect.push(index.effects.len());
        }
        index
    }

    fn with_keys(history: &'a History) -> Self {
        let mut names = BTreeSet::new();
        for operation in history.transactions.iter().flat_map(|txn| &txn.operations) {
            match operation {
                Operation::Scan { found, .. } => {
                    names.extend(found.iter().map(|(key, _)| &key[..]))
                }
                Operation::Get { key, .. }
                | Operation::Set { key, .. }
                | Operation::Delete { key, .. } => {
                    names.insert(&key[..]);
                }
            }
        }
        let router = ShardRouter::new(history.shards).expect("a history has 1 to 256 shards");
        let keys: Vec<&str> = names.into_iter().collect();
        let shards = keys.iter().map(|key| router.shard(key.as_bytes()).get()).collect();
        let numbers = keys.iter().enumerate().map(|(at, key)| (*key, at as u32)).collect();
        let (writes, effects, first_effect) = (HashMap::new(), vec![], vec![0]);
        Self { history, keys, shards, numbers, writes, effects, first_effect }
    }

    fn add_writes(&mut self, at: usize, transaction: &'a Transaction) {
        let begin = self.effects.len();
        for operation in &transaction.operations {
            let Some(name) = operation.written() else { continue };
            let key = self.number(name);
            let found = self.effects[begin..].iter().position(|effect| effect.key == key);
            let place = found.map_or(self.effects.len(), |found| begin + found);
            if found.is_none() {
                self.effects.push(Effect::nothing(key));
            }
            let replaced = self.effects[place].value;
            self.effects[place].add(operation);
            if let Some(write) = replaced.and_then(|value| self.writes.get_mut(&(key, value))) {
                write.is_last = false;
            }
            if let Operation::Set { value, .. } = operation {
                let write = Write { transaction: at, is_last: true };
                let before = self.writes.insert((key, value), write);
                assert!(before.is_none(), "two writes of {name} store {value:?}");
            }
        }
    }

    /// A transaction of the history.
    pub fn transaction(&self, at: usize) -> &'a Transaction {
        &self.history.transactions[at]
    }

    /// Returns true if a transaction ended in this way.
    pub fn is_committed(&self, at: usize) -> bool {
        matches!(self.transaction(at).outcome, Outcome::Committed { .. })
    }

    /// The number of a key that occurs.
    pub fn number(&self, key: &str) -> u32 {
        self.numbers[key]
    }

    /// The numbers of the keys of a range.
    pub fn range(&self, start: &str, end: Option<&str>) -> Range<u32> {
        let first = self.keys.partition_point(|key| *key < start);
        let last = end.map_or(self.keys.len(), |end| self.keys.partition_point(|key| *key < end));
        first as u32..last.max(first) as u32
    }

    /// Returns the write that stored this value under this key.
    pub fn write(&self, key: u32, value: &'a str) -> Option<Write> {
        self.writes.get(&(key, value)).copied()
    }

    /// Returns the effects of a transaction on the keys that it wrote.
    pub fn effects(&self, transaction: usize) -> &[Effect<'a>] {
        &self.effects[self.first_effect[transaction]..self.first_effect[transaction + 1]]
    }

    /// Returns the effect of a transaction on one key.
    pub fn effect(&self, transaction: usize, key: u32) -> Option<&Effect<'a>> {
        self.effects(transaction).iter().find(|effect| effect.key == key)
    }
}

impl<'a> Effect<'a> {
    fn nothing(key: u32) -> Self {
        let (sets, tail_sets, deletes) = (0, 0, false);
        let (value, before, after) = (None, None, None);
        Self { key, sets, tail_sets, deletes, value, before, after, changed: None, broken: None }
    }

    fn add(&mut self, operation: &'a Operation) {
        let first = self.sets == 0 && !self.deletes;
        match operation {
            Operation::Set { value, version, .. } => {
                if first {
                    self.before = version.and_then(|version| version.checked_sub(1));
                }
                self.expect(self.after.map(|after| after + 1), *version, first);
                self.after = *version;
                self.value = Some(value);
                self.sets += 1;
                self.tail_sets += 1;
                self.changed = Some(true);
            }
            Operation::Delete { version, .. } => {
                if first {
                    self.before = *version;
                }
                self.expect(self.after, *version, first);
                self.changed = match (self.changed, version) {
                    (Some(true), _) | (_, Some(1..)) => Some(true),
                    (Some(false), Some(0)) => Some(false),
                    (None, Some(0)) if first => Some(false),
                    _ => None,
                };
                self.after = Some(0);
                self.value = None;
                self.tail_sets = 0;
                self.deletes = true;
            }
            Operation::Get { .. } | Operation::Scan { .. } => {}
        }
    }

    fn expect(&mut self, expected: Option<u64>, told: Option<u64>, first: bool) {
        if let (Some(expected), Some(told), false) = (expected, told, first)
            && expected != told
        {
            self.broken = Some((expected, told));
        }
    }
}
