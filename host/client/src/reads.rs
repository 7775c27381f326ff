//! Reading: keys, ranges, pages, and how old an answer may be.
//!
//! Promises that the keys of one `read` are seen at one revision, and so is each page of a scan.
//! A whole scan is not one view: pages are read one after the other, shards beside each other.
//!
//! ```no_run
//! # async fn example(client: aspen_client::Client) -> Result<(), Box<dyn std::error::Error>> {
//! use aspen_client::{Consistency, KeyRange, ScanOptions, stale};
//! use std::time::Duration;
//! let both = client.read(["{7}/cart", "{7}/total"], Consistency::Linearizable).await?;
//! let near = client.read(["{7}/cart"], stale(Duration::from_secs(2))).await?;
//! println!("{:?} {:?}", both.revision, near.records[0]);
//! let options = ScanOptions { limit: 100, ..ScanOptions::default() };
//! let mut page = client.scan_page(KeyRange::prefix("{7}/"), options).await?;
//! while let Some(next) = page.next {
//!     page = client.scan_on(&next, options).await?;
//! }
//! # Ok(()) }
//! ```

use std::time::Duration;

use aspen_core::{
    Consistency, Item, Key, KeyRange, Outcome, Page, Read, Record, Request, Response, Revision,
    ScanRequest, ScanToken, ShardId,
};
use snafu::{OptionExt, ensure};

use crate::client::{Client, outcome, to_key};
use crate::error::*;

/// Keys as they were at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records {
    /// The shard's revision.
    pub revision: Revision,
    /// One per key, in the order asked; `None` for an absent key.
    pub records: Vec<Option<Record>>,
}

/// How to scan.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScanOptions {
    /// From the last key to the first.
    pub reverse: bool,
    /// Leave values out.
    pub keys_only: bool,
    /// Entries wanted, all if 0.
    pub limit: usize,
    /// How old the answer may be.
    pub consistency: Consistency,
}

/// One page of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanPage {
    /// The entries, in the order asked.
    pub items: Vec<Item>,
    /// The revision that they were read at, if the range is on one shard: what a transaction's
    /// `unchanged` takes, for as far as the page goes.
    pub revision: Option<Revision>,
    /// Goes on after the last of them; `None` when the range is through.
    pub next: Option<ScanToken>,
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

    async fn ask_for(
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
        let ScanOptions { reverse, keys_only, limit, consistency } = options;
        let limit = if limit == 0 { u32::MAX } else { u32::try_from(limit).unwrap_or(u32::MAX) };
        let scan = ScanRequest { shard, range, reverse, keys_only, limit, reads, consistency };
        match self.ask_for(shard, &Request::Scan(scan), consistency).await? {
            Response::Page(page) => Ok(Ok(page)),
            other => Ok(Err(outcome(other)?)),
        }
    }

    /// The entries of a range, in order, up to `options.limit`. Fetched page by page, each page
    /// at a revision of its own; shards are merged by key. A range whose keys all have one tag asks
    /// one shard.
    pub async fn scan(
        &self,
        range: impl Into<KeyRange>,
        options: ScanOptions,
    ) -> Result<Vec<Item>, RequestError> {
        let range = range.into();
        let mut all = vec![];
        for shard in self.scan_shards(&range) {
            all.extend(self.scan_shard(shard, range.clone(), options).await?);
        }
        self.merge(&mut all, options.reverse);
        if options.limit > 0 {
            all.truncate(options.limit);
        }
        Ok(all)
    }

    /// Up to `options.limit` entries of a range (a page of the server's size if 0), with a token
    /// that goes on where they end: now or later, in this program or another.
    pub async fn scan_page(
        &self,
        range: impl Into<KeyRange>,
        options: ScanOptions,
    ) -> Result<ScanPage, RequestError> {
        self.page_of(range.into(), options).await
    }

    /// Goes on with a scan. The token brings its range and direction; the rest is in `options`.
    pub async fn scan_on(
        &self,
        token: &ScanToken,
        options: ScanOptions,
    ) -> Result<ScanPage, RequestError> {
        let (range, reverse) = token.open(self.cluster_id()).map_err(Invalid::from)?;
        self.page_of(range, ScanOptions { reverse, ..options }).await
    }

    async fn page_of(
        &self,
        range: KeyRange,
        options: ScanOptions,
    ) -> Result<ScanPage, RequestError> {
        let (mut items, mut more, mut complete) = (vec![], false, usize::MAX);
        let shards = self.scan_shards(&range);
        let is_one = shards.len() == 1;
        let mut revision = None;
        for shard in shards {
            let page = self.page(shard, range.clone(), vec![], options).await?;
            let page = page.ok().context(ProtocolSnafu)?;
            ensure!(!page.more || !page.items.is_empty(), ProtocolSnafu);
            revision = Some(page.revision).filter(|_| is_one);
            // Behind the last key of a page that is not the last, this shard may have more.
            if page.more {
                more = true;
                complete = complete.min(page.items.len());
            }
            items.extend(page.items);
        }
        self.merge(&mut items, options.reverse);
        // The first `complete` keys in order are complete: no shard's page ended before them.
        let limit = if options.limit == 0 { usize::MAX } else { options.limit };
        let wanted = complete.min(limit);
        more |= items.len() > wanted;
        items.truncate(wanted);
        let last = items.last().filter(|_| more);
        let next = last.map(|last| {
            let rest = range.beyond(&last.key, options.reverse);
            ScanToken::new(self.cluster_id(), rest, options.reverse)
        });
        Ok(ScanPage { items, revision, next })
    }

    fn scan_shards(&self, range: &KeyRange) -> Vec<ShardId> {
        match self.router().range_shard(range) {
            Some(shard) => vec![shard],
            None => self.router().all().collect(),
        }
    }

    fn merge(&self, items: &mut [Item], reverse: bool) {
        if self.router().shards() > 1 {
            items.sort_by(|a, b| a.key.cmp(&b.key));
            if reverse {
                items.reverse();
            }
        }
    }

    async fn scan_shard(
        &self,
        shard: ShardId,
        mut range: KeyRange,
        mut options: ScanOptions,
    ) -> Result<Vec<Item>, RequestError> {
        let mut items: Vec<Item> = vec![];
        let wanted = options.limit;
        loop {
            let page = self.page(shard, range.clone(), vec![], options).await?;
            let page = page.ok().context(ProtocolSnafu)?;
            ensure!(!page.more || !page.items.is_empty(), ProtocolSnafu);
            items.extend(page.items);
            let Some(last) = items.last().filter(|_| page.more) else { return Ok(items) };
            if wanted > 0 && items.len() >= wanted {
                return Ok(items);
            }
            options.limit = wanted.saturating_sub(items.len());
            range = range.beyond(&last.key, options.reverse);
        }
    }
}
