//! One shard of a scan: the page that is read, and the next one, which is fetched meanwhile.
//!
//! Promises the shard's entries in order, each once, and no more than two pages in memory. Leaves out
//! the order among shards (`scan.rs`).

use std::vec;

use aspen_core::ids::{Revision, ShardId};
use aspen_core::key::KeyRange;
use aspen_core::limits::{SCAN_ENTRIES_MAX, SCAN_PAGE_BYTES};
use aspen_core::protocol::{Item, Page, ScanRequest};
use snafu::{OptionExt, ensure};
use tokio::task::JoinHandle;

use crate::client::Client;
use crate::error::*;
use crate::scan::options::{SCAN_BUFFER_BYTES, ScanOptions};
use crate::scan::view::Holder;

/// The amount that is fetched of a shard at once, and if it is fetched ahead.
#[derive(Clone, Copy)]
pub struct PageSize {
    entries: usize,
    bytes: usize,
    /// The next page is fetched while one is read.
    reads_ahead: bool,
}

/// One shard of a scan.
pub struct Source {
    shard: ShardId,
    /// The node that holds the view of a consistent scan.
    holder: Option<Holder>,
    options: ScanOptions,
    size: PageSize,
    /// The part of the range that no page has covered yet; `None` if all came.
    rest: Option<KeyRange>,
    ready: vec::IntoIter<Item>,
    has_head: bool,
    fetch: Option<Fetch>,
    revision: Option<Revision>,
}

/// A page under way.
struct Fetch(JoinHandle<Result<Page, RequestError>>);

impl Drop for Fetch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl PageSize {
    /// Returns the size for a number of shards. A scan that wants a single page, and does not read ahead,
    /// fetches about its share of that page from each shard.
    pub fn new(shards: usize, wanted: usize, reads_ahead: bool) -> PageSize {
        let shards = shards.max(1);
        let bytes = SCAN_PAGE_BYTES.min(SCAN_BUFFER_BYTES / (2 * shards));
        let share = match reads_ahead || shards == 1 {
            true => wanted,
            false => (2 * wanted / shards).max(16),
        };
        PageSize { entries: share.min(SCAN_ENTRIES_MAX), bytes, reads_ahead }
    }
}

impl Source {
    /// Makes the source of the keys of `range` on `shard`.
    pub fn new(
        shard: ShardId,
        holder: Option<Holder>,
        range: KeyRange,
        options: ScanOptions,
        size: PageSize,
    ) -> Source {
        Source {
            shard,
            holder,
            options,
            size,
            rest: Some(range),
            ready: vec![].into_iter(),
            has_head: false,
            fetch: None,
            revision: None,
        }
    }

    /// Returns true if the entry that was taken last is not given yet.
    pub fn has_head(&self) -> bool {
        self.has_head
    }

    /// Returns true if no entry is left, neither here nor on the shard.
    pub fn is_through(&self) -> bool {
        self.rest.is_none() && self.ready.len() == 0
    }

    /// Returns the revision of the page that came last.
    pub fn revision(&self) -> Option<Revision> {
        self.revision
    }

    /// Takes the next entry, if it is here.
    pub fn next(&mut self) -> Option<Item> {
        let next = self.ready.next();
        self.has_head = next.is_some();
        next
    }

    /// Starts to fetch up to `wanted` entries if none is here.
    pub fn fetch_if_due(&mut self, client: &Client, wanted: usize) {
        if !self.has_head && self.ready.len() == 0 {
            self.fetch(client, wanted);
        }
    }

    /// Waits until an entry is here; returns false if none is left.
    pub async fn arrives(&mut self, client: &Client, wanted: usize) -> Result<bool, RequestError> {
        if self.ready.len() > 0 {
            return Ok(true);
        }
        let Some(rest) = self.rest.clone() else { return Ok(false) };
        self.fetch(client, wanted);
        let fetch = self.fetch.as_mut().context(ProtocolSnafu)?;
        // The task panics only with a bug, and is aborted only by a drop.
        let page = (&mut fetch.0).await.ok().context(ProtocolSnafu);
        self.fetch = None;
        let Page { revision, items, more } = page??;
        ensure!(!more || !items.is_empty(), ProtocolSnafu);
        let last = items.last().filter(|_| more);
        self.rest = last.map(|last| rest.beyond(&last.key, self.options.reverse));
        self.revision = Some(revision);
        self.ready = items.into_iter();
        if self.size.reads_ahead && self.ready.len() < wanted {
            self.fetch(client, wanted - self.ready.len());
        }
        Ok(self.ready.len() > 0)
    }

    /// Starts to fetch the next page, if one exists and is not under way.
    fn fetch(&mut self, client: &Client, wanted: usize) {
        let Some(range) = self.rest.clone().filter(|_| self.fetch.is_none()) else { return };
        let ScanOptions { reverse, keys_only, consistency, .. } = self.options;
        let scan = ScanRequest {
            shard: self.shard,
            range,
            reverse,
            keys_only,
            limit: u32::try_from(self.size.entries.min(wanted)).unwrap_or(u32::MAX),
            bytes: u32::try_from(self.size.bytes).unwrap_or(u32::MAX),
            reads: vec![],
            consistency,
            view: None,
        };
        let (client, holder) = (client.clone(), self.holder);
        self.fetch = Some(Fetch(tokio::spawn(async move {
            match holder {
                Some(holder) => holder.page(&client, scan).await,
                None => client.read_page(scan).await?.ok().context(ProtocolSnafu),
            }
        })));
    }
}
