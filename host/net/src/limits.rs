//! Every limit of the network, with its reason and the effect at its edge.
//!
//! The first part is the wire's: both ends must agree, so a change of one changes the protocol.
//! The second part is each process's own. Times stand here too: a wait is a limit.

use std::time::Duration;

// The wire.

/// Bytes of one frame, its length word included. A value is at most 1 MiB and a batch of Raft
/// entries a few MiB, so 8 MiB leaves room. A longer frame closes the connection.
pub const FRAME_BYTES_MAX: usize = 8 << 20;

/// Bytes in front of a frame's body: length (4), request id (8), kind (1).
pub const FRAME_HEADER_BYTES: usize = 13;

/// Bytes of one request or reply. A larger request fails with `TooLarge` before it is sent; a
/// larger reply reaches the caller as `Unanswered`.
pub const BODY_BYTES_MAX: usize = FRAME_BYTES_MAX - FRAME_HEADER_BYTES;

/// Bytes of a frame from a peer that is not admitted yet: a header and one purpose byte.
pub const HELLO_BYTES_MAX: usize = FRAME_HEADER_BYTES + 1;

/// Bytes of the reason shown to a refused peer, so that it fits in one packet. Longer: cut.
pub const REASON_BYTES_MAX: usize = 256;

/// Nodes named by a ticket: enough to find a cluster, few enough to paste.
pub const TICKET_NODES_MAX: usize = 16;

/// Characters of a ticket. The largest honest one (16 IPv6 nodes and a secret) has about 1,500.
pub const TICKET_BYTES_MAX: usize = 4 << 10;

// The process.

/// Requests that one stream has in flight, at the asking and at the answering end. More callers wait,
/// within their deadlines.
pub const REQUESTS_IN_FLIGHT_MAX: usize = 4_096;

/// Bytes of bodies that one stream holds in each direction: requests waiting to be written, requests
/// being handled, replies waiting to be written. Room for four of the largest frames.
pub const STREAM_BYTES_MAX: usize = 4 * FRAME_BYTES_MAX;

/// Bytes asked from the stream in one read. A body is a slice of the block it was read into and
/// keeps that block alive, so this also bounds what a small body held for long can pin:
/// `REQUESTS_IN_FLIGHT_MAX` * 16 KiB = 64 MiB per stream.
pub const READ_BYTES: usize = 16 << 10;

/// Bodies up to this size are copied next to their neighbours before writing; larger ones are
/// handed to QUIC as they are. A copy of 4 KiB costs less than one more chunk.
pub const COALESCE_BYTES_MAX: usize = 4 << 10;

/// Bytes an unknown peer may send before it is admitted (a hello needs 14).
pub const UNADMITTED_WINDOW_BYTES: u32 = 16 << 10;

/// Bytes an admitted peer may have under way to us: 2 MiB carry 20 MB/s over 100 ms.
///
/// Not larger, because QUIC closes a connection with more than 1,024 gaps in its stream, which a
/// burst of losses makes of a large window (seen with 16 MiB). Every second packet lost, a window
/// of packets of at least 1,200 bytes has this many gaps:
pub const RECEIVE_WINDOW_BYTES: u32 = 2 << 20;
const _: () = assert!(RECEIVE_WINDOW_BYTES / 1_200 / 2 < 1_024);

/// Bytes QUIC keeps for retransmission per connection before a writer waits.
pub const SEND_WINDOW_BYTES: u64 = 4 << 20;

/// Connections that are in their handshake. More are refused: they come back.
pub const HANDSHAKES_MAX: usize = 256;

/// Admitted connections of nodes (Raft, Snapshot), kept apart so that clients cannot use them up.
pub const NODE_CONNECTIONS_MAX: usize = 256;

/// Admitted connections of clients. More are closed as `Busy`.
pub const CLIENT_CONNECTIONS_MAX: usize = 1_024;

/// Longest deadline of a request. A longer one is taken as this.
pub const DEADLINE_MAX: Duration = Duration::from_secs(3_600);

/// Time to connect, say hello and be admitted. Short, because a peer that starts meanwhile is
/// found sooner by a fresh attempt than by one whose retransmissions have slowed down.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(3);

/// Time a peer has from its first packet to its complete hello.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// First guess of the round trip; retransmission of the first packets follows from it.
pub const INITIAL_RTT: Duration = Duration::from_millis(100);

/// A connection from which nothing arrives for this time is lost. A killed peer that comes back is
/// reachable again after at most this time (iroh's stateless reset key does not survive a restart).
pub const IDLE_TIMEOUT: Duration = Duration::from_millis(1_500);

/// Interval of keep-alive packets on an idle connection: three within `IDLE_TIMEOUT`.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_millis(400);

/// A peer that takes no byte for this time loses its connection, because its replies fill the memory
/// of this process meanwhile.
pub const WRITE_STALL_MAX: Duration = Duration::from_secs(10);

/// Time the tasks have to end by themselves when the transport closes. Then they are aborted.
pub const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// Interval at which `close` looks if the socket is free; usually it is within a millisecond.
pub const SOCKET_POLL_INTERVAL: Duration = Duration::from_millis(1);

const _: () = assert!(FRAME_BYTES_MAX <= u32::MAX as usize);
const _: () = assert!(BODY_BYTES_MAX <= STREAM_BYTES_MAX);
const _: () = assert!(STREAM_BYTES_MAX <= u32::MAX as usize, "semaphores count in u32");
const _: () = assert!(HELLO_BYTES_MAX <= UNADMITTED_WINDOW_BYTES as usize);
const _: () = assert!(KEEP_ALIVE_INTERVAL.as_millis() * 3 < IDLE_TIMEOUT.as_millis());
