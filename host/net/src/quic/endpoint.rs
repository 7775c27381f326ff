//! The settings of the iroh endpoint.
//!
//! One socket, where the caller asked. No relay, no address lookup, no port mapping, no datagrams,
//! one stream per connection.
//!
//! iroh does not let one thing be switched off: connected peers tell each other the addresses of
//! their sockets and try these too. So traffic may take another way than the address dialled.

use std::{net::SocketAddr, sync::Arc};

use iroh::{
    Endpoint, RelayMode, SecretKey,
    endpoint::{QuicTransportConfig, VarInt, presets},
};

use crate::error::{Cause, NetError};
use crate::limits::{
    IDLE_TIMEOUT, INITIAL_RTT, KEEP_ALIVE_INTERVAL, RECEIVE_WINDOW_BYTES, SEND_WINDOW_BYTES,
    UNADMITTED_WINDOW_BYTES,
};
use crate::secret::Secret;
use crate::transport::Purpose;

/// The identity of this process and the address that it listens on.
#[derive(Clone, Debug)]
pub struct IrohConfig {
    /// The secret key that proves the identity.
    pub secret: Secret,
    /// Address of the UDP socket; port 0 takes a free one.
    pub bind: SocketAddr,
}

/// Binds the endpoint.
pub(super) async fn open(config: &IrohConfig) -> Result<Endpoint, NetError> {
    let addr = config.bind;
    let failed = |source: Cause| NetError::Bind { addr, source };
    let builder = Endpoint::builder(presets::Minimal)
        .relay_mode(RelayMode::Disabled)
        .clear_ip_transports()
        .bind_addr(addr)
        .map_err(|error| failed(Arc::new(error)))?
        .secret_key(SecretKey::from_bytes(&config.secret.to_bytes()))
        .alpns(vec![Purpose::Raft.alpn().to_vec(), Purpose::Client.alpn().to_vec()])
        .transport_config(transport_config());
    builder.bind().await.map_err(|error| failed(Arc::new(error)))
}

fn transport_config() -> QuicTransportConfig {
    let idle = IDLE_TIMEOUT.try_into().expect("seconds fit into QUIC's milliseconds");
    QuicTransportConfig::builder()
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(RECEIVE_WINDOW_BYTES))
        // Widened by `admitted` once we know whom we talk to.
        .receive_window(VarInt::from_u32(UNADMITTED_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .initial_rtt(INITIAL_RTT)
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .build()
}
