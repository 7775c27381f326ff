//! Requests to the apply worker of a shard.

use openraft::storage::{ApplyResponder, EntryResponder};
use tokio::sync::{mpsc, oneshot};

use crate::buffer::BufferedState;
use crate::snapshot::Snapshot;
use crate::sync::CompletionSender;
use crate::types::{EncodedOutcome, LogId, StoredMembership, TypeConfig};

/// Work for the apply worker.
pub enum ApplyRequest {
    Apply {
        entries: Vec<EntryResponder<TypeConfig>>,
        /// Takes the replies of each batch, so that another task wakes the many tasks that wait for one
        /// batch: to wake a task from the worker's thread costs more.
        replies: mpsc::UnboundedSender<Vec<EntryReply>>,
        done: CompletionSender,
    },
    /// Writes everything applied to the file.
    Flush { done: CompletionSender },
    /// Replaces the state by that of a snapshot.
    Install { snapshot: Snapshot, done: CompletionSender },
    /// Looks at the state between two batches, with the parts that live in memory.
    Inspect(Inspection),
    /// Does the same, and applies nothing more until the receiver that the inspection returns has ended.
    Hold(HeldInspection),
    /// Returns the last applied entry and the members.
    Applied { done: oneshot::Sender<(Option<LogId>, StoredMembership)> },
}

/// A look at the state; it sends its answer itself.
pub type Inspection = Box<dyn FnOnce(&BufferedState) + Send>;

/// A look at the state that may hold apply back: the worker waits for the end of the receiver.
pub type HeldInspection = Box<dyn FnOnce(&BufferedState) -> Option<oneshot::Receiver<()>> + Send>;

/// The outcome of an entry, and the responder of the task that waits for it.
pub type EntryReply = (ApplyResponder<TypeConfig>, EncodedOutcome);
