//! Reading: keys, and how old an answer may be.
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

use aspen_core::{
    Consistency, Key, KeyRange, Outcome, Page, Read, Record, Request, Response, Revision,
    ScanRequest, ShardId,
};
use snafu::OptionExt;

use crate::client::{Client, outcome, to_key};
use crate::error::*;
use crate::scan::ScanOptions;

/// Keys as they were at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records {
    /// The shard's revision.
    pub revision: Revision,
    /// One per key, in the order asked; `None` for an absent key.
    pub records: Vec<Option<Record>>,
}

/// Reads that are to be true at the revision that is read.
pub(crate) type Checked<T> = Result<T, Outcome>;

/// An answer may be this old, by the clock of the node that gives it.
pub fn stale(max_age: Duration) -> Consistency {
    Consistency::Stale { max_age_ms: u64::try_from(max_age.as_millis()).unwrap_or(u64::MAX) }
}

impl Client {
    /// The record of a key: its value, version and revisions. Linearizable.
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Record>, RequestError> {
        let mut read = self.read([key], Consistency::Linearizable).await?;
        read.records.pop().context(ProtocolSnafu)
    }

    /// The records of up to [`aspen_core::limits::TXN_OPS_MAX`] keys of one shard, all at one
    /// revision.
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

    /// Reads keys if `reads` hold at that revision; else what a transaction with them would get.
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

    pub(crate) async fn ask_for(
        &self,
        shard: ShardId,
        request: &Request,
        consistency: Consistency,
    ) -> Result<Response, RequestError> {
        match consistency {
            Consistency::Linearizable => self.ask(shard, request).await,
            Consistency::Stale { .. } => self.link().ask_replica(shard, request).await,
        }
    }

    /// One page of a range on one shard, from the range's start, if `reads` hold at its revision.
    pub(crate) async fn page(
        &self,
        shard: ShardId,
        range: KeyRange,
        reads: Vec<Read>,
        options: ScanOptions,
    ) -> Result<Checked<Page>, RequestError> {
        let ScanOptions { reverse, keys_only, limit, consistency, .. } = options;
        let limit = if limit == 0 { u32::MAX } else { u32::try_from(limit).unwrap_or(u32::MAX) };
        let (bytes, view) = (u32::MAX, None);
        let scan = ScanRequest {
            shard,
            range,
            reverse,
            keys_only,
            limit,
            bytes,
            reads,
            consistency,
            view,
        };
        self.ask_page(scan).await
    }

    /// One page, as asked for.
    pub(crate) async fn ask_page(&self, scan: ScanRequest) -> Result<Checked<Page>, RequestError> {
        let (shard, consistency) = (scan.shard, scan.consistency);
        match self.ask_for(shard, &Request::Scan(scan), consistency).await? {
            Response::Page(page) => Ok(Ok(page)),
            other => Ok(Err(outcome(other)?)),
        }
    }
}
