//! Checking and compiling a component on this node, off the async threads.
//!
//! Promises that a compilation ends when nobody waits for its result. The process that compiles keeps
//! the code in the node's folder, so that each node compiles once. Leaves out the limits of the
//! compiler (`aspen-functions`).

use std::sync::Arc;

use aspen_core::protocol::ErrorReply;
use aspen_functions::CompileError;
use bytes::Bytes;
use tokio::task::JoinHandle;

use crate::context::NodeContext;

/// Checks and compiles a component here. If nobody waits for the answer any more, because the
/// client or this node goes away, the compilation ends too.
pub async fn check(node: &NodeContext, bytes: Bytes) -> Result<(), ErrorReply> {
    let functions = node.functions().clone();
    let waiting = Arc::new(());
    let is_awaited = Arc::downgrade(&waiting);
    let check = move || {
        let bad = |reason: String| ErrorReply::BadComponent { reason };
        let manifest = aspen_functions::check(&bytes).map_err(|error| bad(error.to_string()))?;
        let is_given_up = || is_awaited.strong_count() == 0;
        let compiled = functions.compile(&manifest.component, &bytes, &is_given_up);
        compiled.map_err(|error| match error {
            CompileError::Busy | CompileError::Start { .. } => {
                ErrorReply::Unavailable { reason: error.to_string() }
            }
            _ => bad(error.to_string()),
        })
    };
    let checked = off_async(check).await;
    drop(waiting);
    let failed = |_| ErrorReply::BadComponent { reason: "the compiler failed on it".into() };
    checked.map_err(failed)?
}

/// Runs `work` off the async threads; in the simulation, which has no others, in place.
#[cfg_attr(madsim, expect(deprecated, reason = "madsim warns that it does not block"))]
pub fn off_async<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    tokio::task::spawn_blocking(work)
}
