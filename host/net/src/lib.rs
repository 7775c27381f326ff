//! aspen-net: all traffic of Aspen, between nodes and from clients.
//!
//! Promises that a request reaches exactly the peer that holds the named key, or fails within its
//! deadline. The error says if the peer may have executed the request. Slow, huge or broken frames of
//! one peer harm no other peer. Every queue and buffer has a limit in [`limits`].
//!
//! One QUIC connection with one framed, multiplexed stream per peer and purpose (Raft, snapshots, clients)
//! keeps bulk from delaying a heartbeat. Admission happens once per connection, by key, before any
//! request; the refusal carries the reason.
//!
//! Leaves out the meaning of bodies, retries and routing (`aspen-node` and `aspen-client`).
//!
//! Start reading at [`Transport`] and [`Handler`]: the first asks a peer, the second answers one.
//!
//! Rooms, bottom to top; each uses only those above it in this list:
//! - `limits`: sizes and times, of the wire and of one process
//! - `backoff`: the doubling pause between attempts
//! - `peer`, `secret`, `ticket`: the identity of a peer, and the text that leads to a cluster
//! - `frame`, `error`, `transport`: the terms that every transport shares, the simulator's too
//! - `quic`: the transport on real sockets, [`IrohTransport`]

pub mod limits;

mod backoff;

mod peer;
mod secret;
mod ticket;

mod frame;

mod error;
mod transport;

#[cfg_attr(madsim, path = "no_sockets.rs")]
mod quic;

pub use backoff::Backoff;
pub use error::{Cause, NetError, Unanswered};
pub use frame::{Frame, FrameDecoder, FrameError, FrameKind, encode_frames};
pub use peer::{PeerAddr, PeerId, PeerParseError};
#[cfg(not(madsim))]
pub use quic::CloseCode;
pub use quic::{IrohConfig, IrohTransport};
pub use secret::Secret;
pub use ticket::{Ticket, TicketError};
pub use transport::{BoxFuture, Handler, Purpose, Transport};
