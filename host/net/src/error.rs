//! Why a request has no reply.
//!
//! The question that matters to a caller is whether the peer may have executed the request:
//! [`NetError::is_ambiguous`]. If not, it can be repeated anywhere; if so, only under the same
//! session and sequence number, or after looking.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use snafu::Snafu;

use crate::{FrameError, PeerAddr};

/// The error underneath, shared by all requests it ended.
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
        /// What the system said.
        source: Cause,
    },
    /// There is no connection to the peer: it is down, elsewhere, busy, or does not serve yet.
    #[snafu(display("peer {peer} is unreachable"))]
    Unreachable {
        /// Whom we tried.
        peer: PeerAddr,
        /// What ended the attempt.
        source: Cause,
    },
    /// The peer is there and does not admit us for this purpose.
    #[snafu(display("peer {peer} refused: {reason}"))]
    Refused {
        /// Who refused.
        peer: PeerAddr,
        /// Its own words.
        reason: String,
    },
    /// No reply within the deadline.
    #[snafu(display("no reply from {peer} after {after:?}"))]
    Deadline {
        /// Who was asked.
        peer: PeerAddr,
        /// The deadline.
        after: Duration,
        /// Whether the request had left.
        sent: bool,
    },
    /// The connection ended before the reply came.
    #[snafu(display("connection to {peer} was lost"))]
    ConnectionLost {
        /// Who was asked.
        peer: PeerAddr,
        /// Whether the request had left.
        sent: bool,
        /// What ended the connection.
        source: Cause,
    },
    /// The peer's bytes are no frames; the connection was closed.
    #[snafu(display("peer {peer} does not keep to the protocol"))]
    Malformed {
        /// Who was asked.
        peer: PeerAddr,
        /// Whether the request had left.
        sent: bool,
        /// What was wrong.
        source: FrameError,
    },
    /// The peer took the request and says that no reply will come.
    #[snafu(display("peer {peer} gave no reply: {cause}"))]
    Unanswered {
        /// Who was asked.
        peer: PeerAddr,
        /// Why.
        cause: Unanswered,
    },
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
    /// Whether the peer may have executed the request. `false` is certain: it never will.
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
