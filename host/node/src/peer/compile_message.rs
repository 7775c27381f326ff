//! The request to compile a component before the entry that makes the component callable.
//!
//! Promises that a reply says if another source may help. Leaves out when a node asks
//! (`functions/compile_ahead.rs`).

use aspen_core::ids::Caller;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The place where a replica finds the bytes of the component.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ComponentSource {
    /// Among the components that the node has compiled. If it is not there, the node answers
    /// [`CompileReply::Lacks`].
    Compiled,
    /// Here.
    Bytes(Bytes),
    /// In the replica's own state, in parts that this client uploaded.
    Parts(Caller),
}

/// The answer of a replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CompileReply {
    /// The component is compiled.
    Ready,
    /// The node does not have the bytes.
    Lacks,
    /// The component cannot run on the node.
    Unfit { reason: String },
    /// The node may be able to compile the component later.
    Busy { reason: String },
}
