//! Why a request has no reply.
//!
//! Promises that every error says if the peer may have executed the request:
//! [`NetError::is_ambiguous`]. A request that was certainly not executed can be repeated anywhere.
//! Any other is repeated only under the same session and sequence number, or after a read.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use snafu::Snafu;

use crate::frame::FrameError;
use crate::peer::PeerAddr;

/// The error underneath, shared by all requests that it ended.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// A request, or binding the socket, failed.
#[derive(Debug, Snafu, Clone)]
#[snafu(visibility(pub(crate)))]
pub enum NetError {
    /// The socket could not be bound.
    #[snafu(display("cannot bind {addr}"))]
    Bind {
        /// Address asked for.
        addr: SocketAddr,
        source: Cause,
    },
    /// No connection to the peer: the peer is down, elsewhere, busy, or does not serve yet.
    #[snafu(display("peer {peer} is unreachable"))]
    Unreachable { peer: PeerAddr, source: Cause },
    /// The peer answers and does not admit this process for this purpose.
    #[snafu(display("peer {peer} refused: {reason}"))]
    Refused {
        peer: PeerAddr,
        /// The peer's own words.
        reason: String,
    },
    /// No reply within the deadline.
    #[snafu(display("no reply from {peer} after {after:?}"))]
    Deadline {
        peer: PeerAddr,
        /// The deadline.
        after: Duration,
        /// True if the request had left this process.
        sent: bool,
    },
    /// The connection ended before the reply came.
    #[snafu(display("connection to {peer} was lost"))]
    ConnectionLost {
        peer: PeerAddr,
        /// True if the request had left this process.
        sent: bool,
        source: Cause,
    },
    /// The peer's bytes are no frames; the connection was closed.
    #[snafu(display("peer {peer} does not keep to the protocol"))]
    Malformed {
        peer: PeerAddr,
        /// True if the request had left this process.
        sent: bool,
        /// The error in the bytes.
        source: FrameError,
    },
    /// The peer took the request and says that no reply will come.
    #[snafu(display("peer {peer} gave no reply: {cause}"))]
    Unanswered { peer: PeerAddr, cause: Unanswered },
    /// The request is larger than a frame may be.
    #[snafu(display("request is {bytes} bytes, limit is {limit}"))]
    TooLarge {
        /// Bytes of the body.
        bytes: usize,
        /// [`BODY_BYTES_MAX`](crate::limits::BODY_BYTES_MAX).
        limit: usize,
    },
    /// This transport is closed.
    #[snafu(display("transport is closed"))]
    Closed,
}

/// Why a peer that took a request sends no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// The reply is larger than a frame may be.
    ReplyTooLarge,
    /// The handler ended without a reply.
    HandlerFailed,
}

impl NetError {
    /// Returns true if the peer may have executed the request. `false` is certain: it never will.
    pub fn is_ambiguous(&self) -> bool {
        match self {
            Self::Bind { .. } | Self::Unreachable { .. } | Self::Refused { .. } => false,
            Self::TooLarge { .. } | Self::Closed => false,
            Self::Unanswered { .. } => true,
            Self::Deadline { sent, .. }
            | Self::ConnectionLost { sent, .. }
            | Self::Malformed { sent, .. } => *sent,
        }
    }
}

#[cfg_attr(madsim, expect(dead_code, reason = "only the transport on sockets sends it"))]
impl Unanswered {
    pub(crate) const fn to_byte(self) -> u8 {
        match self {
            Self::ReplyTooLarge => 1,
            Self::HandlerFailed => 2,
        }
    }

    /// A code of a later version says as little as `HandlerFailed` does.
    pub(crate) fn from_body(body: &[u8]) -> Self {
        match body {
            [1] => Self::ReplyTooLarge,
            _ => Self::HandlerFailed,
        }
    }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReplyTooLarge => "the reply is larger than a frame may be",
            Self::HandlerFailed => "the handler ended without one",
        })
    }
}
