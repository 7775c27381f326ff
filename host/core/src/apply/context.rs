//! [`Context`]: the place and the time at which an entry runs.

use crate::ids::{Caller, ProfileId, ShardId, Timestamp};
use crate::key::Key;
use crate::placement::ShardRouter;
use crate::refusal::Refusal;
use crate::transaction::{Operation, Read, Transact, read_keys};

/// The place, the time and the settings with which an entry runs.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    pub shard: ShardId,
    /// The map from keys to shards.
    pub router: ShardRouter,
    /// Entry time.
    pub time: Timestamp,
    /// A random number from the entry.
    pub seed: u64,
    /// The client that sent the request.
    pub caller: Caller,
    /// The settings with which functions run.
    pub profile: ProfileId,
}

impl Context {
    /// Returns `WrongShard` if the transaction touches another shard.
    pub(crate) fn check_transact(&self, transact: &Transact) -> Result<(), Refusal> {
        let keys = transact.operations().filter_map(Operation::key);
        self.check_reads(&transact.reads).and_then(|()| self.check_home(keys))
    }

    /// Returns `WrongShard` if a read names another shard. A range without a shard is of this one.
    pub(crate) fn check_reads(&self, reads: &[Read]) -> Result<(), Refusal> {
        let foreign = reads.iter().find_map(|read| match read {
            Read::Range { shard, .. } => shard.filter(|shard| *shard != self.shard),
            Read::Key { .. } => None,
        });
        foreign.map_or_else(
            || self.check_home(read_keys(reads)),
            |shard| Err(Refusal::WrongShard { shard }),
        )
    }

    /// Returns `WrongShard` if a key lives on another shard.
    pub(crate) fn check_home<'a>(
        &self,
        mut keys: impl Iterator<Item = &'a Key>,
    ) -> Result<(), Refusal> {
        if self.router.shards() == 1 {
            return Ok(());
        }
        let home = |key: &Key| self.router.shard(key.as_bytes());
        let foreign = keys.find_map(|key| Some(home(key)).filter(|shard| *shard != self.shard));
        foreign.map_or(Ok(()), |shard| Err(Refusal::WrongShard { shard }))
    }
}
