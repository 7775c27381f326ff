//! Reads: keys, and pages of a range on one shard.
//!
//! Promises that the keys of one `read` are seen at one revision, and so are those of one page of one
//! shard. Leaves out scans, which are made of such pages (`scan.rs`).
//!
//! ```no_run
//! # async fn example(client: aspen_client::Client) -> Result<(), Box<dyn std::error::Error>> {
//! use aspen_client::{Consistency, stale};
//! use std::time::Duration;
//! let both = client.read(["{7}/cart", "{7}/total"], Consistency::Linearizable).await?;
//! let near = client.read(["{7}/cart"], stale(Duration::from_secs(2))).await?;
//! println!("{:?} {:?}", both.revision, near.records[0]);
//! # Ok(()) }
//! ```

use std::time::Duration;

use aspen_core::ids::{Revision, ShardId};
use aspen_core::key::Key;
use aspen_core::protocol::{Consistency, Outcome, Page, Request, Response, ScanRequest};
use aspen_core::transaction::Read;
use aspen_core::view::Record;
use snafu::OptionExt;

use crate::arguments::to_key;
use crate::client::Client;
use crate::client::requests::outcome;
use crate::error::*;

/// Keys as they were at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records {
    /// The shard's revision.
    pub revision: Revision,
    /// One per key, in the order asked; `None` for an absent key.
    pub records: Vec<Option<Record>>,
}

/// The result of a read with conditions; `Err` if a condition does not hold at the revision that is read.
pub(crate) type Checked<T> = Result<T, Outcome>;

/// Allows an answer of this age, by the clock of the node that gives it.
pub fn stale(max_age: Duration) -> Consistency {
    Consistency::Stale { max_age_ms: u64::try_from(max_age.as_millis()).unwrap_or(u64::MAX) }
}

impl Client {
    /// Reads the record of a key: its value, version and revisions. Linearizable.
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Record>, RequestError> {
        let mut read = self.read([key], Consistency::Linearizable).await?;
        read.records.pop().context(ProtocolSnafu)
    }

    /// Reads up to [`aspen_core::limits::TXN_OPS_MAX`] keys of one shard, all at one revision.
    pub async fn read(
        &self,
        keys: impl IntoIterator<Item: AsRef<[u8]>>,
        consistency: Consistency,
    ) -> Result<Records, RequestError> {
        let keys = keys.into_iter().map(to_key).collect::<Result<Vec<_>, _>>()?;
        let mut shards = keys.iter().map(|key| self.router().shard(key.as_bytes()));
        let shard = shards.next().ok_or(Invalid::Empty)?;
        if !shards.all(|other| other == shard) {
            return Err(Invalid::ManyShards.into());
        }
        drop(shards);
        let read = self.read_checked(shard, keys, vec![], consistency).await?;
        read.ok().context(ProtocolSnafu)
    }

    /// Reads keys if `reads` hold at that revision; else returns the outcome that a transaction with
    /// `reads` would get.
    pub(crate) async fn read_checked(
        &self,
        shard: ShardId,
        keys: Vec<Key>,
        reads: Vec<Read>,
        consistency: Consistency,
    ) -> Result<Checked<Records>, RequestError> {
        let count = keys.len();
        let request = Request::Get { shard, keys, reads, consistency };
        match self.ask_for(shard, &request, consistency).await? {
            Response::Records { revision, records } if records.len() == count => {
                Ok(Ok(Records { revision, records }))
            }
            Response::Records { .. } => ProtocolSnafu.fail(),
            other => Ok(Err(outcome(other)?)),
        }
    }

    /// Reads one page of a range on one shard, if the conditions of `scan` hold at its revision.
    pub(crate) async fn read_page(&self, scan: ScanRequest) -> Result<Checked<Page>, RequestError> {
        let (shard, consistency) = (scan.shard, scan.consistency);
        match self.ask_for(shard, &Request::Scan(scan), consistency).await? {
            Response::Page(page) => Ok(Ok(page)),
            other => Ok(Err(outcome(other)?)),
        }
    }
}
