//! Reads of keys and ranges.
//!
//! Promises records of one revision in each answer, within the limits on keys and bytes. Leaves out
//! conditions and locks (`checked.rs`).

use aspen_core::ids::{ShardId, ViewId};
use aspen_core::key::{Key, Value};
use aspen_core::limits::{READ_BYTES_MAX, SCAN_ENTRIES_MAX, SCAN_PAGE_BYTES, TXN_OPS_MAX};
use aspen_core::protocol::{Consistency, ErrorReply, Item, Page, Request, Response, ScanRequest};
use aspen_core::state::Header;
use aspen_core::transaction::Read;
use aspen_core::two_phase::Locks;
use aspen_core::view::{HostError, View};
use bytes::Bytes;

use crate::context::{NodeContext, find};
use crate::replica::{Replica, failed};
use crate::requests::checked::checked;

/// Answers a request to read keys or a range.
pub async fn read(node: &NodeContext, request: Request) -> Result<Response, ErrorReply> {
    match request {
        Request::Get { shard, keys, reads, consistency } => {
            get(node, shard, keys, reads, consistency).await
        }
        Request::Scan(request) => scan(node, request).await,
        _ => Err(ErrorReply::Invalid { reason: "it is no read".into() }),
    }
}

async fn get(
    node: &NodeContext,
    shard: ShardId,
    keys: Vec<Key>,
    reads: Vec<Read>,
    consistency: Consistency,
) -> Result<Response, ErrorReply> {
    let count = keys.len() + reads.len();
    if count > TXN_OPS_MAX {
        let reason = format!("{count} keys asked for, limit is {TXN_OPS_MAX}");
        return Err(ErrorReply::Invalid { reason });
    }
    let replica = find(node, shard)?;
    replica.ready(consistency).await?;
    let asked = keys.clone();
    let locked = move |locks: &Locks| asked.iter().find_map(|key| locks.writer(key));
    let read = move |view: &dyn View, header: Header| {
        let (mut records, mut bytes) = (Vec::with_capacity(keys.len()), 0);
        for key in &keys {
            let record = view.get(key)?;
            bytes += key.as_bytes().len();
            bytes += record.as_ref().map_or(0, |record| record.value.as_bytes().len());
            if bytes > READ_BYTES_MAX {
                let reason = format!("the keys hold more than {READ_BYTES_MAX} bytes, read fewer");
                return Ok(Response::Error(ErrorReply::Invalid { reason }));
            }
            records.push(record);
        }
        Ok(Response::Records { revision: header.revision, records })
    };
    checked(node, &replica, reads, locked, read).await
}

async fn scan(node: &NodeContext, mut request: ScanRequest) -> Result<Response, ErrorReply> {
    let replica = find(node, request.shard)?;
    if let Some(view) = request.view {
        return scan_view(&replica, view, &request);
    }
    replica.ready(request.consistency).await?;
    let reads = std::mem::take(&mut request.reads);
    let range = request.range.clone();
    let locked = move |locks: &Locks| locks.writer_in(&range);
    let read = move |view: &dyn View, header: Header| {
        let (items, more) = page(view, &request)?;
        Ok(Response::Page(Page { revision: header.revision, items, more }))
    };
    checked(node, &replica, reads, locked, read).await
}

/// Reads a page of an open view.
fn scan_view(
    replica: &Replica,
    view: ViewId,
    request: &ScanRequest,
) -> Result<Response, ErrorReply> {
    if !request.reads.is_empty() {
        let reason = "a view is read without conditions".into();
        return Err(ErrorReply::Invalid { reason });
    }
    let view = replica.views.find(view).ok_or(ErrorReply::ViewLost)?;
    let read = view.read(|view, header| Ok((header.revision, page(view, request)?)));
    let (revision, (items, more)) = read.map_err(failed)?;
    Ok(Response::Page(Page { revision, items, more }))
}

/// Reads one page: as many entries as asked for, within the limits on entries and bytes.
fn page(view: &dyn View, request: &ScanRequest) -> Result<(Vec<Item>, bool), HostError> {
    let limit = (request.limit as usize).min(SCAN_ENTRIES_MAX);
    let bytes_max = (request.bytes as usize).min(SCAN_PAGE_BYTES);
    let (mut items, mut bytes, mut more) = (vec![], 0, false);
    view.scan(&request.range, request.reverse, &mut |key, mut record| {
        if request.keys_only {
            record.value = Value::new(Bytes::new()).expect("an empty value is allowed");
        }
        bytes += key.len() + record.value.as_bytes().len();
        if items.len() >= limit || (bytes > bytes_max && !items.is_empty()) {
            more = true;
            return false;
        }
        let key = Key::new(Bytes::copy_from_slice(key)).expect("stored keys are within the limit");
        items.push(Item { key, record });
        true
    })?;
    Ok((items, more))
}
