//! Snapshots in transit: pieces that come in for this replica, and pieces that others fetch from
//! it.
//!
//! A snapshot arrives in pieces, in order, into a temporary file; a piece that does not fit starts
//! nothing, and a new first piece starts over. Promises that only a whole file with the right
//! checksum is installed (by `aspen-store`).

use aspen_store::Snapshot;
use openraft::LogIdOptionExt;
use tokio::time::Instant;

use crate::limits::SNAPSHOT_CHUNK_BYTES;
use crate::peer::{SnapshotChunk, SnapshotPart, SnapshotPartRequest, SnapshotProgress};
use crate::replica::parts::Replica;

impl Replica {
    /// Takes a piece of a snapshot from the leader, and installs the snapshot after the last piece.
    pub async fn receive(&self, chunk: SnapshotChunk) -> Result<SnapshotProgress, String> {
        let SnapshotChunk { vote, meta, bytes, checksum, offset, data } = chunk;
        let mut slot = self.incoming.0.lock().await;
        if offset == 0 {
            *slot = None;
            let started = self.reader.receive_snapshot(bytes, checksum);
            *slot = Some(started.map_err(|error| error.to_string())?);
        }
        let receiver = slot.as_mut().ok_or("no snapshot is being received")?;
        let written = receiver.write(offset, &data);
        let written = match written {
            Ok(()) => receiver.settle().await,
            refused => refused,
        };
        if let Err(error) = written {
            *slot = None;
            return Err(error.to_string());
        }
        if offset + (data.len() as u64) < bytes {
            return Ok(SnapshotProgress::More);
        }
        let receiver = slot.take().ok_or("no snapshot is being received")?;
        let snapshot = receiver.finish().await.map_err(|error| error.to_string())?;
        let installed = self.raft.install_full_snapshot(vote, Snapshot { meta, snapshot }).await;
        installed.map(SnapshotProgress::Installed).map_err(|error| error.to_string())
    }

    /// Returns a piece of this replica's snapshot. If the snapshot does not reach far enough,
    /// returns `None` and makes a new one: the other replica asks again.
    pub async fn snapshot_part(
        &self,
        wanted: SnapshotPartRequest,
    ) -> Result<Option<SnapshotPart>, String> {
        let SnapshotPartRequest { at_least, checksum, offset } = wanted;
        let mut slot = self.outgoing.0.lock().await;
        let held = slot.take().map(|(_, snapshot)| snapshot);
        let held = held.filter(|held| checksum == Some(held.snapshot.checksum));
        let snapshot = match held {
            Some(held) => held,
            None => {
                let current = self.raft.get_snapshot().await.map_err(|error| error.to_string())?;
                let reaches = |it: &Snapshot| it.meta.last_log_id.index() >= Some(at_least);
                let Some(current) = current.filter(reaches) else {
                    self.reader.want_snapshot();
                    let asked = self.raft.trigger().snapshot().await;
                    return asked.map(|()| None).map_err(|error| error.to_string());
                };
                current
            }
        };
        let Snapshot { meta, snapshot: file } = &snapshot;
        let data = file.read_chunk(offset, SNAPSHOT_CHUNK_BYTES);
        let data = data.map_err(|error| error.to_string())?;
        let (meta, bytes, checksum) = (meta.clone(), file.bytes, file.checksum);
        if offset + (data.len() as u64) < bytes {
            *slot = Some((Instant::now(), snapshot));
        }
        Ok(Some(SnapshotPart { meta, bytes, checksum, data }))
    }
}
