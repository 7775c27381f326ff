//! [`Split`]: a transaction, taken apart by shard.
//!
//! A range that no tag keeps on one shard is a read of every shard. A range read in an entry says "unchanged
//! since this revision", and revisions are each shard's own, so each shard has a read that names the shard.
//! Promises that each read and operation is in the part of one shard. All shards take part in the commit,
//! so such a range is refused where more than [`TXN_SHARDS_MAX`] shards exist. Leaves out reading the range:
//! the reader (a client, or a function's [`ReadAhead`](super::ReadAhead)) asks all shards for a page at
//! once, and knows the range as far as the slowest shard has come.

use std::collections::BTreeMap;

use crate::ids::ShardId;
use crate::limits::TXN_SHARDS_MAX;
use crate::placement::ShardRouter;
use crate::refusal::Refusal;
use crate::transaction::{Operation, Transact};

/// A transaction, taken apart by shard.
#[derive(Clone, Debug)]
pub struct Split {
    pub(super) parts: BTreeMap<ShardId, Transact>,
    /// The shard of each operation: the results return in this order.
    pub(super) then: Vec<ShardId>,
    pub(super) otherwise: Vec<ShardId>,
}

impl Split {
    /// Splits `transact` by shard, or refuses a form that cannot be done across shards.
    pub fn new(router: &ShardRouter, transact: &Transact) -> Result<Self, Refusal> {
        transact.check()?;
        transact.check_across()?;
        let mut split = Self { parts: BTreeMap::new(), then: vec![], otherwise: vec![] };
        for read in &transact.reads {
            let shard = read.shard(router).ok_or(Refusal::RangeAcrossShards)?;
            if shard.get() >= router.shards() {
                return Err(Refusal::WrongShard { shard });
            }
            split.part(shard, transact).reads.push(read.clone());
        }
        let home = |operation: &Operation| {
            operation
                .key()
                .map(|key| router.shard(key.as_bytes()))
                .ok_or(Refusal::LeaseAcrossShards)
        };
        for operation in &transact.then {
            let shard = home(operation)?;
            split.part(shard, transact).then.push(operation.clone());
            split.then.push(shard);
        }
        for operation in transact.otherwise.iter().flatten() {
            let shard = home(operation)?;
            let part = split.part(shard, transact);
            part.otherwise.get_or_insert_default().push(operation.clone());
            split.otherwise.push(shard);
        }
        let shards = split.parts.len();
        if shards > TXN_SHARDS_MAX {
            return Err(Refusal::TooManyShards { shards: shards as u64 });
        }
        Ok(split)
    }

    /// Returns the part of a shard. All parts have a second branch if the whole has one.
    fn part(&mut self, shard: ShardId, whole: &Transact) -> &mut Transact {
        self.parts.entry(shard).or_insert_with(|| Transact {
            otherwise: whole.otherwise.as_ref().map(|_| vec![]),
            return_values: whole.return_values,
            ..Transact::default()
        })
    }

    /// Adds `shard` as a participant, even if the transaction does not touch it.
    pub fn with(mut self, shard: ShardId) -> Self {
        self.parts.entry(shard).or_default();
        self
    }

    /// Returns the shards of all parts.
    pub fn shards(&self) -> impl Iterator<Item = ShardId> {
        self.parts.keys().copied()
    }
}
