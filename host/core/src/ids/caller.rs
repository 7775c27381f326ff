//! [`Caller`]: the identity of the client that sent a request.
//!
//! Leaves out the proof of the identity: the encrypted connection gives it (`aspen-net`).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::hex::hex;

/// The client that sent a request: the ed25519 public key of the connection; all zero inside the
/// process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Caller([u8; 32]);

impl Caller {
    /// The program that embeds a node: there is no connection.
    pub const LOCAL: Caller = Caller([0; 32]);

    /// Wraps a public key.
    pub const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Caller({self})")
    }
}
