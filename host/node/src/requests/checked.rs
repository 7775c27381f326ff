//! A read that depends on other reads, and waits for transactions across shards.
//!
//! Promises that the answer is given only if the reads hold at the revision of the answer, and that
//! no key is read while a transaction across shards holds it for writing.

use aspen_core::codec::encode;
use aspen_core::defect::{Defect, is_planted};
use aspen_core::ids::TxnId;
use aspen_core::protocol::{ErrorReply, Outcome, Response};
use aspen_core::state::{Header, Resident};
use aspen_core::transaction::{Expectation, Read};
use aspen_core::two_phase::Locks;
use aspen_core::view::{HostError, View};
use tokio::time::Instant;

use crate::across::wait_for;
use crate::context::NodeContext;
use crate::limits::LOCKED_WAIT;
use crate::replica::{Replica, failed};

/// Runs `read` if `reads` hold at its revision; else answers as a transaction with them would be
/// answered. Waits while a transaction across shards holds a key that is read (`locked`).
pub async fn checked(
    node: &NodeContext,
    replica: &Replica,
    reads: Vec<Read>,
    locked: impl Fn(&Locks) -> Option<TxnId> + Clone + Send + 'static,
    read: impl Fn(&dyn View, Header) -> Result<Response, HostError> + Clone + Send + 'static,
) -> Result<Response, ErrorReply> {
    let until = Instant::now() + LOCKED_WAIT;
    // Only apply knows the removed keys and the locks.
    let mut asks_apply = reads.iter().any(needs_removed);
    loop {
        if !asks_apply {
            let resident = Resident::default();
            let answer = replica.reader.read(|view, header| match header.prepared {
                0 => answer_if(view, &resident, header, &reads, &read).map(Some),
                _ => Ok(None),
            });
            if let Some(answer) = answer.map_err(failed)? {
                return Ok(answer);
            }
        }
        asks_apply = true;
        let (reads, read, locked) = (reads.clone(), read.clone(), locked.clone());
        let inspect = move |view: &dyn View, resident: &Resident, header: Header| {
            let locks = &resident.locks;
            match locks.blocks_reads(&reads).or_else(|| locked(locks)) {
                Some(by) if !is_planted(Defect::IgnoreLocks) => Ok(Err(by)),
                _ => answer_if(view, resident, header, &reads, &read).map(Ok),
            }
        };
        match replica.reader.inspect(inspect).await.map_err(failed)? {
            Ok(answer) => return Ok(answer),
            Err(by) => Box::pin(wait_for(node, replica, by, until)).await?,
        }
    }
}

/// Returns true if a read depends on keys that were removed.
fn needs_removed(read: &Read) -> bool {
    match read {
        Read::Range { .. } | Read::Key { expected: Expectation::UnchangedSince(_), .. } => true,
        Read::Key { .. } => false,
    }
}

fn answer_if(
    view: &dyn View,
    resident: &Resident,
    header: Header,
    reads: &[Read],
    read: &impl Fn(&dyn View, Header) -> Result<Response, HostError>,
) -> Result<Response, HostError> {
    match aspen_core::apply::check_reads(view, resident, &header, reads)? {
        Ok(conflicts) if conflicts.is_empty() => read(view, header),
        Ok(conflicts) => {
            let outcome = Outcome::Conflict { revision: header.revision, conflicts };
            Ok(Response::Outcome(encode(&outcome)))
        }
        Err(refusal) => Ok(Response::Outcome(encode(&Outcome::Refused(refusal)))),
    }
}
