//! The proofs of a history about single writes: which transactions happened, at which revisions, and
//! the claims about each key's states.
//!
//! A transaction of unknown outcome happened if somebody saw a value that it left. Its revision on
//! that shard is then the record's, for all its writes there. Finds the violations that one read
//! and one write show.

use std::collections::HashSet;

use crate::history::explain::{list, name};
use crate::history::index::Index;
use crate::history::{Kind, Operation, Outcome, Record, Violation};

/// The evidence of a history.
pub struct Evidence<'a> {
    /// By transaction: true if it certainly happened.
    pub happened: Vec<bool>,
    /// By transaction: shard, revision there, and the key that showed it (none if it was told).
    places: Vec<Vec<(u16, u64, Option<u32>)>>,
    pub claims: Vec<Claim<'a>>,
    pub violations: Vec<Violation>,
    reported: HashSet<(Kind, u32, u64)>,
}

/// The claim that a key got a new state at a revision.
#[derive(Clone, Copy)]
pub struct Claim<'a> {
    pub key: u32,
    pub revision: u64,
    /// The transaction that wrote the state, if that is known and was possible.
    pub writer: Option<usize>,
    /// The transaction that read the state, and the record that it read.
    pub seen: Option<(usize, &'a Record)>,
}

/// A read of one key that shows a state from before the reader's own writes.
pub struct Sighting<'a> {
    pub key: u32,
    pub record: &'a Record,
}

/// Every record that a transaction read and had not written itself.
pub fn sightings<'a>(index: &Index<'a>, transaction: usize) -> Vec<Sighting<'a>> {
    let operations = &index.transaction(transaction).operations;
    let mut own: Vec<&str> = vec![];
    let mut all = vec![];
    let mut add = |own: &[&str], key: &'a str, record: &'a Record| {
        if !own.contains(&key) {
            all.push(Sighting { key: index.number(key), record });
        }
    };
    for operation in operations {
        match operation {
            Operation::Get { key, found } => {
                found.iter().for_each(|record| add(&own, key, record));
            }
            Operation::Scan { found, .. } => {
                found.iter().for_each(|(key, record)| add(&own, key, record));
            }
            write => own.extend(write.written()),
        }
    }
    all
}

impl<'a> Evidence<'a> {
    /// Goes through the whole history.
    pub fn gather(index: &Index<'a>) -> Self {
        let transactions = &index.history.transactions;
        let told = |outcome: &Outcome| match outcome {
            Outcome::Committed { revisions } => {
                revisions.iter().map(|(shard, revision)| (*shard, *revision, None)).collect()
            }
            Outcome::Aborted | Outcome::Unknown => vec![],
        };
        let mut evidence = Evidence {
            happened: (0..transactions.len()).map(|at| index.is_committed(at)).collect(),
            places: transactions.iter().map(|transaction| told(&transaction.outcome)).collect(),
            claims: vec![],
            violations: vec![],
            reported: HashSet::new(),
        };
        for reader in 0..transactions.len() {
            for sighting in sightings(index, reader) {
                evidence.see(index, reader, &sighting);
            }
        }
        for writer in 0..transactions.len() {
            evidence.claim_writes(index, writer);
        }
        evidence
    }

    /// The revision of a transaction on a shard, if it is known.
    pub fn revision(&self, transaction: usize, shard: u16) -> Option<u64> {
        let places = &self.places[transaction];
        places.iter().find(|place| place.0 == shard).map(|place| place.1)
    }

    /// Returns true if a transaction made its revision on a shard itself. A transaction that changed
    /// nothing is told a revision of others.
    fn is_own(index: &Index<'_>, transaction: usize, shard: u16) -> bool {
        let mut effects = index.effects(transaction).iter();
        effects.any(|effect| {
            index.shards[effect.key as usize] == shard && effect.changed == Some(true)
        })
    }

    /// Returns true if the state that a transaction left of a key has its place among the key's states.
    pub fn is_placed(&self, index: &Index<'_>, transaction: usize, key: u32) -> bool {
        let shard = index.shards[key as usize];
        self.happened[transaction]
            && self.revision(transaction, shard).is_some()
            && Self::is_own(index, transaction, shard)
    }

    fn claim_writes(&mut self, index: &Index<'a>, writer: usize) {
        for effect in index.effects(writer) {
            let shard = index.shards[effect.key as usize];
            let Some(revision) = self.revision(writer, shard) else { continue };
            if effect.changed == Some(false) || !self.is_placed(index, writer, effect.key) {
                continue;
            }
            let claim = Claim { key: effect.key, revision, writer: Some(writer), seen: None };
            self.claims.push(claim);
        }
    }

    fn see(&mut self, index: &Index<'a>, reader: usize, sighting: &Sighting<'a>) {
        let Sighting { key, record } = *sighting;
        let revision = record.mod_revision;
        if record.version == 0 || record.create_revision > revision {
            self.report(
                index,
                Kind::NonMonotonicVersions,
                sighting,
                &[reader],
                "such a record cannot be",
            );
        }
        let mut claim = Claim { key, revision, writer: None, seen: Some((reader, record)) };
        let Some(write) = index.write(key, &record.value) else {
            self.report(
                index,
                Kind::UnwrittenRead,
                sighting,
                &[reader],
                "no transaction wrote that",
            );
            self.claims.push(claim);
            return;
        };
        let writer = write.transaction;
        let both = [reader, writer];
        if writer == reader {
            self.report(
                index,
                Kind::FutureRead,
                sighting,
                &[reader],
                "it wrote that only afterwards",
            );
            return;
        }
        if index.transaction(writer).outcome == Outcome::Aborted {
            self.report(index, Kind::AbortedRead, sighting, &both, "its writer aborted");
        } else if !write.is_last {
            self.report(index, Kind::IntermediateRead, sighting, &both, "its writer replaced it");
        } else if self.place(index, writer, sighting, reader) {
            claim.writer = Some(writer);
        }
        self.claims.push(claim);
    }

    /// Notes that a state which `writer` left was seen. False if it cannot be there.
    fn place(
        &mut self,
        index: &Index<'a>,
        writer: usize,
        sighting: &Sighting<'a>,
        reader: usize,
    ) -> bool {
        let (shard, revision) = (index.shards[sighting.key as usize], sighting.record.mod_revision);
        self.happened[writer] = true;
        let place = self.places[writer].iter().find(|place| place.0 == shard).copied();
        let Some((_, before, shown_by)) = place else {
            self.places[writer].push((shard, revision, Some(sighting.key)));
            return true;
        };
        if before == revision {
            return true;
        }
        let same_key = shown_by.is_none_or(|key| key == sighting.key);
        let kind = if same_key { Kind::DuplicateWrite } else { Kind::TornTransaction };
        let why = format!("{} wrote at r{before} of shard s{shard}", name(writer));
        self.report(index, kind, sighting, &[reader, writer], &why);
        false
    }

    fn report(
        &mut self,
        index: &Index<'_>,
        kind: Kind,
        sighting: &Sighting<'_>,
        transactions: &[usize],
        why: &str,
    ) {
        if !self.reported.insert((kind, sighting.key, sighting.record.mod_revision)) {
            return;
        }
        let (reader, key) = (name(transactions[0]), index.keys[sighting.key as usize]);
        let mut text = format!("{reader} read {key}: {}; {why}", sighting.record);
        text.push_str(&list(index, transactions));
        self.violations.push(Violation { kind, transactions: transactions.to_vec(), text });
    }
}
