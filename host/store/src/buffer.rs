//! Writes in memory over the file of a shard's state, and the flush that moves them to the file.
//!
//! ```text
//! apply -- BufferedState --> batch --> LiveState: memtables over a file
//!                                        |-- OverlayView reads both
//!                                        |-- Flusher writes the immutable memtables to the file
//! ```
//!
//! Promises that a batch becomes visible at once, and that a reader never waits for the disk of a flush.
//! Leaves out when a flush is due (`apply/worker.rs`). Start reading at `live_state.rs`.

mod buffered_state;
mod digests;
mod flusher;
mod live_state;
mod overlay;

pub use buffered_state::BufferedState;
pub use flusher::Flusher;
pub use live_state::{LiveState, Status};
pub use overlay::OverlayView;
