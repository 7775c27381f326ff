//! Scans: all shards at once, merged by key, page by page.
//!
//! ```text
//! s1   [ a  d ] [ k .. being fetched ]     one page that is read, one that is fetched meanwhile
//! s2   [ b  c ] [ f .. being fetched ]
//!        \ /
//! pages  a b c d | f ...                    a page ends where a shard has to be waited for
//! ```
//!
//! Promises the entries of a range in order, each once, in memory that does not grow with the range
//! or the number of shards: two pages of each shard, [`SCAN_BUFFER_BYTES`] for all of them together,
//! or two entries of each shard where those are larger. A scan sees one of two things:
//!
//! - **page by page** (the default): each page of one shard is of one revision, linearizable when it is
//!   read. Pages of one shard follow each other in time. Pages of several shards are read at the same
//!   time: a transaction that commits meanwhile may be seen in part.
//! - **consistent** (`one_moment`): the whole scan is of one moment in the strict serial order, not before
//!   the scan was asked for. Opening costs three round trips between the nodes; for about one of them
//!   nothing is applied. A node that stops takes its part of the view with it.
//!
//! A range whose keys all have one tag asks one shard, in both cases.
//!
//! ```no_run
//! # async fn example(client: aspen_client::Client) -> Result<(), aspen_client::RequestError> {
//! use aspen_client::{KeyRange, ScanOptions};
//! let options = ScanOptions { one_moment: true, ..ScanOptions::default() };
//! let mut scan = client.scan_stream(KeyRange::prefix("account/"), options).await?;
//! while let Some(items) = scan.next_page().await? {
//!     for item in items {
//!         println!("{} {}", item.key, item.record.version);
//!     }
//! }
//! # Ok(()) }
//! ```

mod options;
mod source;
mod view;

use std::collections::BTreeMap;

use aspen_core::ids::{Revision, ShardId};
use aspen_core::key::{Key, KeyRange};
use aspen_core::limits::{SCAN_ENTRIES_MAX, SCAN_PAGE_BYTES};
use aspen_core::protocol::{Consistency, Item, ScanToken};
use aspen_core::view::Record;
use snafu::ensure;

use crate::client::Client;
use crate::error::*;
use crate::scan::source::{PageSize, Source};
use crate::scan::view::OpenView;

pub use options::{SCAN_BUFFER_BYTES, ScanOptions};

/// One page of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanPage {
    /// The entries, in the order asked.
    pub items: Vec<Item>,
    /// The revision that they were read at, if the range is on one shard. A transaction's `unchanged`
    /// takes it, for the range up to the end of the page.
    pub revision: Option<Revision>,
    /// Continues after the last of them; `None` at the end of the range.
    pub next: Option<ScanToken>,
}

/// A scan under way. Dropping it ends it.
pub struct Scan {
    client: Client,
    range: KeyRange,
    reverse: bool,
    /// Entries still wanted.
    left: usize,
    sources: Vec<Source>,
    /// The next entry of each shard that has one here, and the place of the shard in `sources`.
    heads: BTreeMap<Key, (usize, Record)>,
    /// The last entry given.
    last: Option<Key>,
    view: Option<OpenView>,
}

impl Client {
    /// Begins a scan of a range, up to `options.limit` entries.
    pub async fn scan_stream(
        &self,
        range: impl Into<KeyRange>,
        options: ScanOptions,
    ) -> Result<Scan, RequestError> {
        Scan::open(self, range.into(), options, true).await
    }

    /// Continues a scan as [`Self::scan_stream`]: the token brings its range and direction, the rest is
    /// in `options`. A token has no view: a consistent scan that continues is of a moment of its own.
    pub async fn scan_stream_on(
        &self,
        token: &ScanToken,
        options: ScanOptions,
    ) -> Result<Scan, RequestError> {
        let (range, reverse) = token.open(self.cluster_id()).map_err(Invalid::from)?;
        Scan::open(self, range, ScanOptions { reverse, ..options }, true).await
    }

    /// Returns the entries of a range, in order, up to `options.limit`: all of them in memory.
    /// [`Self::scan_stream`] reads ranges that do not fit there.
    pub async fn scan(
        &self,
        range: impl Into<KeyRange>,
        options: ScanOptions,
    ) -> Result<Vec<Item>, RequestError> {
        let mut scan = self.scan_stream(range, options).await?;
        let mut all = vec![];
        while let Some(items) = scan.next_page().await? {
            all.extend(items);
        }
        Ok(all)
    }

    /// Returns up to `options.limit` entries of a range (a page of some size if 0), with a token that
    /// continues after them: now or later, in this program or another.
    pub async fn scan_page(
        &self,
        range: impl Into<KeyRange>,
        options: ScanOptions,
    ) -> Result<ScanPage, RequestError> {
        self.page_of(range.into(), options).await
    }

    /// Continues a scan. The token brings its range and direction; the rest is in `options`.
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
        let limit = if options.limit == 0 { SCAN_ENTRIES_MAX } else { options.limit };
        let limit = limit.min(SCAN_ENTRIES_MAX);
        let mut scan = Scan::open(self, range, ScanOptions { limit, ..options }, false).await?;
        let mut items = scan.next_page().await?.unwrap_or_default();
        let mut bytes: usize = items.iter().map(size).sum();
        // Of one shard this is one page, for a page has one revision.
        while scan.sources.len() > 1
            && bytes < SCAN_PAGE_BYTES
            && let Some(more) = scan.next_page().await?
        {
            bytes += more.iter().map(size).sum::<usize>();
            items.extend(more);
        }
        let revision = if let [only] = &scan.sources[..] { only.revision() } else { None };
        let next = scan.token();
        scan.close().await;
        Ok(ScanPage { items, revision, next })
    }
}

impl Scan {
    async fn open(
        client: &Client,
        range: KeyRange,
        options: ScanOptions,
        reads_ahead: bool,
    ) -> Result<Scan, RequestError> {
        let ScanOptions { reverse, limit, one_moment, consistency, .. } = options;
        ensure!(!one_moment || consistency == Consistency::Linearizable, StaleViewSnafu);
        let shards: Vec<ShardId> = match client.router().range_shard(&range) {
            _ if range.is_empty() => vec![],
            Some(shard) => vec![shard],
            None => client.router().all().collect(),
        };
        let view = match one_moment && !shards.is_empty() {
            true => Some(OpenView::open(client, &range, &shards).await?),
            false => None,
        };
        let left = if limit == 0 { usize::MAX } else { limit };
        let size = PageSize::new(shards.len(), left, reads_ahead);
        let source = |shard: &ShardId| {
            let holder = view.as_ref().map(|view| view.holder(*shard));
            Source::new(*shard, holder, range.clone(), options, size)
        };
        let mut sources: Vec<Source> = shards.iter().map(source).collect();
        sources.iter_mut().for_each(|source| source.fetch_if_due(client, left));
        let (client, heads) = (client.clone(), BTreeMap::new());
        Ok(Scan { client, range, reverse, left, sources, heads, last: None, view })
    }

    /// Returns the next entries, at most [`SCAN_ENTRIES_MAX`] of them; `None` at the end of the range, or
    /// when all entries wanted were given. After an error it can be called again, and continues where it
    /// was; only a view that is lost stays lost.
    pub async fn next_page(&mut self) -> Result<Option<Vec<Item>>, RequestError> {
        if self.left == 0 {
            self.close_view().await;
            return Ok(None);
        }
        for source in &mut self.sources {
            source.fetch_if_due(&self.client, self.left);
        }
        for at in 0..self.sources.len() {
            let source = &mut self.sources[at];
            if !source.has_head() && source.arrives(&self.client, self.left).await? {
                self.next_head(at);
            }
        }
        let (mut items, mut bytes) = (vec![], 0);
        while items.len() < SCAN_ENTRIES_MAX && bytes < SCAN_PAGE_BYTES && self.left > 0 {
            let next = if self.reverse { self.heads.pop_last() } else { self.heads.pop_first() };
            let Some((key, (at, record))) = next else { break };
            let item = Item { key, record };
            bytes += size(&item);
            self.left -= 1;
            items.push(item);
            if !self.next_head(at) && !self.sources[at].is_through() {
                break;
            }
        }
        let Some(last) = items.last() else {
            self.close_view().await;
            return Ok(None);
        };
        self.last = Some(last.key.clone());
        Ok(Some(items))
    }

    /// Returns a token that continues after the last entry given; `None` at the end of the range.
    pub fn token(&self) -> Option<ScanToken> {
        let is_through = self.heads.is_empty() && self.sources.iter().all(Source::is_through);
        let rest = match &self.last {
            Some(last) => self.range.beyond(last, self.reverse),
            None => self.range.clone(),
        };
        let token = ScanToken::new(self.client.cluster_id(), rest, self.reverse);
        (!is_through).then_some(token)
    }

    /// Ends the scan, and waits until the nodes know; dropping it lets them know too.
    pub async fn close(mut self) {
        self.close_view().await;
    }

    async fn close_view(&mut self) {
        if let Some(view) = self.view.take() {
            view.close().await;
        }
    }

    /// Puts the next entry of a source among the heads, if the source has one here. Returns true if so.
    fn next_head(&mut self, at: usize) -> bool {
        let Some(Item { key, record }) = self.sources[at].next() else { return false };
        self.heads.insert(key, (at, record));
        true
    }
}

fn size(item: &Item) -> usize {
    item.key.as_bytes().len() + item.record.value.as_bytes().len()
}
