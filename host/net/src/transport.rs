//! What node and client know of the network: ask a peer, answer a peer.
//!
//! Two implementations live in this repository: [`IrohTransport`](crate::IrohTransport) on real
//! sockets and the simulator's in the tests package. Both promise the same: a request is delivered
//! at most once, to the holder of the key; replies come in any order; nobody waits longer than the
//! deadline; [`NetError::is_ambiguous`](crate::NetError::is_ambiguous) is false only when certain.

use std::{pin::Pin, time::Duration};

use bytes::Bytes;

use crate::{NetError, PeerAddr, PeerId};

/// A future that is `'static`, boxed and may change threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Sends requests to peers.
pub trait Transport: Send + Sync + 'static {
    /// This process's identity and the address its socket is bound to.
    fn local(&self) -> PeerAddr;

    /// Asks `to` and waits for its reply, connecting first if need be.
    ///
    /// Dropping the future gives the request up; the peer may execute it nevertheless. The reply
    /// is a slice of a larger block: who keeps a small one for long copies it.
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
    /// Decides whether `from` may ask for this purpose; asked once per connection, before any
    /// request. The text says why not and is shown to the refused peer.
    fn admit(&self, from: PeerId, purpose: Purpose) -> Result<(), String>;

    /// Answers one request.
    ///
    /// Each runs as a task of its own. It is dropped at its next await when the connection ends
    /// or the transport closes, so what must be finished belongs elsewhere. A panic is answered
    /// to the peer as [`Unanswered::HandlerFailed`](crate::Unanswered).
    fn handle(&self, from: PeerId, purpose: Purpose, body: Bytes) -> BoxFuture<Bytes>;
}

/// What a stream is for. Each peer and purpose has its own connection with one stream, so that
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
    /// The protocol that carries this purpose, as negotiated in the handshake.
    pub const fn alpn(self) -> &'static [u8] {
        match self {
            Self::Raft | Self::Snapshot => b"aspen/raft/1",
            Self::Client => b"aspen/client/1",
        }
    }

    /// The byte that stands for it in a hello.
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
