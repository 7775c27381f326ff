//! Uploads in parts: large components on their way in, one part in each entry.
//!
//! ```text
//! UploadPart at 0, at 1 MiB, ...   each part is a row among the components, under a hash of its own
//! FinishUpload                     the joined parts are a component of that hash: an alias points to it
//! nothing for 15 minutes           entry time passes the upload's end: its parts are removed
//! ```
//!
//! Promises that a part cannot be called: its row begins with words that no component begins with. Parts
//! come in order; the sender of a part is told how many bytes are stored, and goes on from there. An upload
//! belongs to the client that began it, so no client spoils the upload of another. In memory but for the
//! parts; [`Uploads::take_changes`] gives the owner the changes to store with the batch.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ids::{Caller, ComponentHash, Timestamp};
use crate::limits::{UPLOAD_IDLE_MS, UPLOADS_MAX};
use crate::view::{HostError, View};

/// The begin of the row of a part. A component begins with a zero byte.
const PART: &[u8; 16] = b"aspen, one part\n";

/// The id of an upload: its sender, and the hash of the whole.
pub type UploadId = (Caller, ComponentHash);

/// The uploads of a shard that are under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uploads {
    uploads: BTreeMap<UploadId, UploadParts>,
    changed: BTreeSet<UploadId>,
}

/// The stored parts of an upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadParts {
    /// Bytes of the whole.
    pub total: u64,
    /// Bytes stored so far.
    pub bytes: u64,
    /// The rows of the parts, in order.
    pub parts: Vec<ComponentHash>,
    /// Entry time of the last part.
    pub touched: Timestamp,
}

/// A change for the owner to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadChange {
    pub upload: UploadId,
    /// The stored parts; `None`: the upload is over.
    pub staged: Option<UploadParts>,
}

impl UploadParts {
    /// True if all bytes are stored.
    pub fn is_whole(&self) -> bool {
        self.bytes == self.total
    }

    /// Joins the parts; `None` if one is gone.
    pub fn assemble(&self, view: &dyn View) -> Result<Option<Bytes>, HostError> {
        let mut whole = Vec::with_capacity(self.bytes as usize);
        for part in &self.parts {
            let Some(row) = view.components().component(part)? else { return Ok(None) };
            whole.extend_from_slice(&row[row_header_bytes()..]);
        }
        Ok(Some(whole.into()))
    }

    fn due(&self) -> Timestamp {
        Timestamp::new(self.touched.get() + UPLOAD_IDLE_MS)
    }
}

impl Uploads {
    pub fn get(&self, upload: &UploadId) -> Option<&UploadParts> {
        self.uploads.get(upload)
    }

    /// Returns all uploads.
    pub fn iter(&self) -> impl Iterator<Item = (&UploadId, &UploadParts)> {
        self.uploads.iter()
    }

    /// Returns the rows of all parts.
    pub fn parts(&self) -> impl Iterator<Item = &ComponentHash> {
        self.uploads.values().flat_map(|staged| &staged.parts)
    }

    /// True if one more upload may begin.
    pub fn has_room(&self) -> bool {
        self.uploads.len() < UPLOADS_MAX
    }

    /// Notes that a part was stored as row `part`. Returns the bytes stored so far.
    pub fn add(&mut self, upload: UploadId, total: u64, part: ComponentHash, bytes: u64) -> u64 {
        let begin =
            || UploadParts { total, bytes: 0, parts: vec![], touched: Timestamp::default() };
        let staged = self.uploads.entry(upload).or_insert_with(begin);
        staged.parts.push(part);
        staged.bytes += bytes;
        self.changed.insert(upload);
        staged.bytes
    }

    /// Notes that an upload goes on: its idle time begins anew.
    pub fn touch(&mut self, upload: &UploadId, now: Timestamp) {
        if let Some(staged) = self.uploads.get_mut(upload) {
            staged.touched = now;
            self.changed.insert(*upload);
        }
    }

    /// Ends an upload. Returns the rows of its parts, to be removed.
    pub fn remove(&mut self, upload: &UploadId) -> Vec<ComponentHash> {
        let staged = self.uploads.remove(upload);
        if staged.is_some() {
            self.changed.insert(*upload);
        }
        staged.map_or(vec![], |staged| staged.parts)
    }

    /// Returns an upload that was idle for too long.
    pub fn first_due(&self, now: Timestamp) -> Option<UploadId> {
        let due =
            |(upload, staged): (&UploadId, &UploadParts)| (staged.due() <= now).then_some(*upload);
        self.uploads.iter().find_map(due)
    }

    /// Returns the time when the next upload is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.uploads.values().map(UploadParts::due).min()
    }

    /// Takes the changes since the last time.
    pub fn take_changes(&mut self) -> Vec<UploadChange> {
        let changed = std::mem::take(&mut self.changed).into_iter();
        let change = |upload| UploadChange { staged: self.get(&upload).cloned(), upload };
        changed.map(change).collect()
    }

    /// Restores a stored upload.
    pub fn restore(&mut self, upload: UploadId, staged: UploadParts) {
        self.uploads.insert(upload, staged);
    }
}

/// Makes the row of a part. The rows of two parts differ, in one upload and between uploads.
pub(crate) fn upload_row(upload: &UploadId, offset: u64, part: &[u8]) -> Bytes {
    let (caller, component) = upload;
    let offset = offset.to_le_bytes();
    [PART, &caller.as_bytes()[..], component.as_bytes(), &offset, part].concat().into()
}

fn row_header_bytes() -> usize {
    PART.len() + size_of::<UploadId>() + size_of::<u64>()
}
