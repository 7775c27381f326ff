//! aspen-net: all traffic of Aspen, between nodes and from clients.
//!
//! It promises: a request reaches exactly the peer that holds the named key, or fails within its
//! deadline with an error that says whether the peer may have executed it; one peer's slow, huge or
//! broken frames harm no other peer; every queue and buffer has a limit in [`limits`].
//!
//! It leaves out: what the bodies mean, retries, backoff and routing (node and client).
//!
//! Two halves. The words, which every transport shares and which also build for the simulator:
//! [`PeerId`], [`PeerAddr`], [`Purpose`], [`Transport`], [`Handler`], [`NetError`], [`Ticket`] and
//! the frames. And one transport on real sockets: [`IrohTransport`], in `quic`.

mod error;
mod frame;
pub mod limits;
mod peer;
#[cfg_attr(madsim, path = "no_sockets.rs")]
mod quic;
mod secret;
mod ticket;
mod transport;

pub use error::{Cause, NetError, Unanswered};
pub use frame::{Frame, FrameDecoder, FrameError, FrameKind, encode_frames};
pub use peer::{PeerAddr, PeerId, PeerParseError};
#[cfg(not(madsim))]
pub use quic::CloseCode;
pub use quic::{IrohConfig, IrohTransport};
pub use secret::Secret;
pub use ticket::{Ticket, TicketError};
pub use transport::{BoxFuture, Handler, Purpose, Transport};
