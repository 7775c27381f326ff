//! The bytes of an entry in the table `entries`: a checksum, then the entry as `entry_codec.rs` writes
//! it.
//!
//! Promises that an entry is read as it was written, or refused with a remedy. redb checks its pages only
//! when it opens a file, and a flipped bit must not become another command.

use std::io;

use bytes::Bytes;

use super::entry_codec::{EntryError, decode_entry, encode_entry};
use crate::types::RaftEntry;

/// Writes the stored form of `entry` to `out`, in place of its content.
pub fn frame(entry: &RaftEntry, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&[0; 8]);
    encode_entry(entry, out);
    let checksum = seahash::hash(&out[8..]);
    out[..8].copy_from_slice(&checksum.to_le_bytes());
}

/// Reads a stored entry; its checksum and its place must be right.
pub fn unframe(shard: u16, index: u64, frame: &[u8]) -> io::Result<RaftEntry> {
    let damaged = |what: &str| {
        io::Error::other(format!(
            "entry i{index} of s{shard} in the raft log is damaged ({what}): remove this node \
             from the cluster, delete its data folder and join it anew"
        ))
    };
    let (checksum, bytes) = frame.split_first_chunk().ok_or_else(|| damaged("too short"))?;
    if u64::from_le_bytes(*checksum) != seahash::hash(bytes) {
        return Err(damaged("wrong checksum"));
    }
    let entry = decode_entry(&Bytes::copy_from_slice(bytes));
    let entry = entry.map_err(|error| match error {
        // The checksum is right: another version wrote it.
        EntryError::Form { .. } => io::Error::other(error),
        error => damaged(&error.to_string()),
    })?;
    match entry.log_id.index == index {
        true => Ok(entry),
        false => Err(damaged("at another's place")),
    }
}
