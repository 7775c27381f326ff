//! The place of the transport on real sockets in the simulation, which has no sockets.
//!
//! Promises that nothing of it can exist: binding fails, so the rest is never called. With it, the
//! client compiles for the simulation as it is, and iroh is not compiled at all.
//! Leaves out `serve`, which only servers call. The transport itself is in `quic.rs`.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use snafu::IntoError;

use crate::{BoxFuture, Cause, NetError, PeerAddr, Purpose, Secret, Transport, error::BindSnafu};

/// The identity and the address of a socket.
#[derive(Clone, Debug)]
pub struct IrohConfig {
    /// The identity.
    pub secret: Secret,
    /// Address of the UDP socket.
    pub bind: SocketAddr,
}

/// A transport that does not exist.
#[derive(Debug)]
pub enum IrohTransport {}

impl IrohTransport {
    /// Fails: there are no sockets in the simulation.
    pub async fn bind(config: IrohConfig) -> Result<Arc<Self>, NetError> {
        let none: Cause = Arc::new(io::Error::from(io::ErrorKind::Unsupported));
        Err(BindSnafu { addr: config.bind }.into_error(none))
    }

    /// Never called.
    pub async fn close(&self) {
        match *self {}
    }
}

impl Transport for IrohTransport {
    fn local(&self) -> PeerAddr {
        match *self {}
    }

    fn request(
        &self,
        _to: &PeerAddr,
        _purpose: Purpose,
        _body: Bytes,
        _deadline: Duration,
    ) -> BoxFuture<Result<Bytes, NetError>> {
        match *self {}
    }
}
