//! Notes of calls: their log lines, and figures of each function.
//!
//! Promises each call once, also when the leader changes between two questions: a position names log
//! entries, which all replicas count alike. A replica's notes begin when it is opened and are bounded, so
//! lines may be gone. Leaves out calls across shards and queries; a dry run has its own lines.

use std::collections::BTreeMap;

use aspen_core::function::{CallNote, FunctionStatistics};
use aspen_core::ids::{ComponentHash, LogIndex, ShardId};
use aspen_core::protocol::{Request, Response};

use crate::client::Client;
use crate::error::*;
use crate::functions::calls::to_component;

/// The position up to which log lines were read, on each shard. The default is before all lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPosition(BTreeMap<ShardId, LogIndex>);

impl Client {
    /// Returns the notes of calls that logged or faulted since `position`, by entry time, and moves the
    /// position on. `component` limits them to one component: the name that it was called by, or `sha256:`
    /// and its hash.
    pub async fn logs(
        &self,
        component: Option<&str>,
        position: &mut LogPosition,
    ) -> Result<Vec<CallNote>, RequestError> {
        let of = component.map(to_component).transpose()?;
        let of_shard = |shard| {
            let after = position.0.get(&shard).copied().unwrap_or_default();
            let request = Request::Notes { shard, after, of: of.clone() };
            async move {
                match self.ask(shard, &request).await? {
                    Response::Notes(notes) => Ok((shard, notes)),
                    _ => ProtocolSnafu.fail(),
                }
            }
        };
        let found = self.ask_all_shards(of_shard).await?;
        let mut all = vec![];
        for (shard, notes) in found {
            if let Some(last) = notes.last() {
                position.0.insert(shard, last.index);
            }
            all.extend(notes);
        }
        all.sort_by_key(|note| note.time);
        Ok(all)
    }

    /// Returns figures of each function that was called, of all shards together, since their leaders'
    /// processes began. If functions are many, only those that each shard called first have figures.
    pub async fn statistics(&self) -> Result<Vec<FunctionStatistics>, RequestError> {
        let of_shard = async |shard| match self.ask(shard, &Request::Statistics { shard }).await? {
            Response::Statistics(statistics) => Ok(statistics),
            _ => ProtocolSnafu.fail(),
        };
        let found = self.ask_all_shards(of_shard).await?;
        let mut all: BTreeMap<(ComponentHash, String), FunctionStatistics> = BTreeMap::new();
        for one in found.into_iter().flatten() {
            let key = (one.component, one.function.clone());
            match all.get_mut(&key) {
                Some(sum) => sum.add(&one),
                None => drop(all.insert(key, one)),
            }
        }
        Ok(all.into_values().collect())
    }
}
