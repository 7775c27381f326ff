//! The reason for closing a connection, as both ends see it.

use std::sync::Arc;

use iroh::endpoint::{Connection, ConnectionError, VarInt};
use snafu::Snafu;

use crate::error::Cause;

/// The code in the last packet of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CloseCode {
    /// The transport closes.
    Closing = 1,
    /// The peer is not admitted; the text gives the reason.
    Refused = 2,
    /// The peer's bytes are no frames; the text names the error.
    Malformed = 3,
    /// Too many connections exist, or the peer's hello took too long. Try later.
    Busy = 4,
    /// The peer took no byte of its replies for too long.
    Stalled = 5,
}

/// An end of a connection that QUIC has no error for.
#[derive(Debug, Snafu)]
pub(super) enum ConnectionEnd {
    /// Nothing was accepted for `WRITE_STALL_MAX`.
    #[snafu(display("peer takes no bytes"))]
    Stalled,
    /// The peer finished its stream and left the connection open.
    #[snafu(display("peer ended its stream"))]
    Stream,
    /// Connecting and being admitted took longer than `DIAL_TIMEOUT`.
    #[snafu(display("no connection in time"))]
    Timeout,
    /// The first frame was no welcome.
    #[snafu(display("peer did not welcome us"))]
    Unwelcome,
}

/// Returns the end of a connection on which reading or writing failed.
pub(super) fn cause_of(connection: &Connection) -> Cause {
    match connection.close_reason() {
        Some(error) => Arc::new(error),
        None => Arc::new(ConnectionEnd::Stream),
    }
}

impl CloseCode {
    /// Returns the code as QUIC carries it.
    pub fn to_varint(self) -> VarInt {
        VarInt::from_u32(u32::from(self as u8))
    }

    /// Returns code and reason with which the peer closed; `None` if this end closed or the code is unknown.
    pub fn of(error: &ConnectionError) -> Option<(Self, String)> {
        const CODES: [CloseCode; 5] = [
            CloseCode::Closing,
            CloseCode::Refused,
            CloseCode::Malformed,
            CloseCode::Busy,
            CloseCode::Stalled,
        ];
        let ConnectionError::ApplicationClosed(close) = error else {
            return None;
        };
        let code = CODES.into_iter().find(|code| code.to_varint() == close.error_code)?;
        Some((code, String::from_utf8_lossy(&close.reason).into_owned()))
    }
}
