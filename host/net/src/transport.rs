//! The network as node and client see it: ask a peer, answer a peer.
//!
//! Implementations in this repository: [`IrohTransport`](crate::IrohTransport) on real sockets, the
//! embedded node's inside one process, and the simulator's in the tests package. All promise the same.
//! A request is delivered at most once, to the holder of the key. Replies come in any order. No caller
//! waits longer than the deadline. [`NetError::is_ambiguous`](crate::NetError::is_ambiguous) is false
//! only when certain.

use std::{pin::Pin, time::Duration};

use bytes::Bytes;

use crate::error::NetError;
use crate::peer::{PeerAddr, PeerId};

/// A future that is `'static`, boxed and may change threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Sends requests to peers.
pub trait Transport: Send + Sync + 'static {
    /// Returns this process's identity and the address that its socket is bound to.
    fn local(&self) -> PeerAddr;

    /// Asks `to` and waits for its reply, connecting first if need be.
    ///
    /// Dropping the future gives the request up; the peer may execute it nevertheless. The reply
    /// is a slice of a larger block: a caller that keeps a small reply for long copies it.
    fn request(
        &self,
        to: &PeerAddr,
        purpose: Purpose,
        body: Bytes,
        deadline: Duration,
    ) -> BoxFuture<Result<Bytes, NetError>>;
}

/// Answers requests of peers.
pub trait Handler: Send + Sync + 'static {
    /// Decides if `from` may ask for this purpose; called once per connection, before any
    /// request. The text gives the reason and is shown to the refused peer.
    fn admit(&self, from: PeerId, purpose: Purpose) -> Result<(), String>;

    /// Answers one request.
    ///
    /// Each request runs as a task of its own. The task is dropped at its next await when the connection
    /// ends or the transport closes: work that must be finished belongs elsewhere. A panic is answered
    /// to the peer as [`Unanswered::HandlerFailed`](crate::Unanswered).
    fn handle(&self, from: PeerId, purpose: Purpose, body: Bytes) -> BoxFuture<Bytes>;
}

/// The use of a stream. Each peer and purpose has its own connection with one stream, so that
/// bulk of one never delays another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Purpose {
    /// Raft messages between nodes: small and urgent.
    Raft = 1,
    /// Snapshots between nodes: bulk.
    Snapshot = 2,
    /// Requests of clients, and of nodes that forward for them.
    Client = 3,
}

impl Purpose {
    /// Returns the protocol that carries this purpose, as negotiated in the handshake.
    pub const fn alpn(self) -> &'static [u8] {
        match self {
            Self::Raft | Self::Snapshot => b"aspen/raft/1",
            Self::Client => b"aspen/client/1",
        }
    }

    /// Returns the byte that stands for the purpose in a hello.
    pub const fn to_byte(self) -> u8 {
        self as u8
    }

    /// Reads the byte of a hello.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Raft),
            2 => Some(Self::Snapshot),
            3 => Some(Self::Client),
            _ => None,
        }
    }
}
