//! Peers for the tests of the transport: servers with a scripted handler, and clients, on 127.0.0.1.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aspen_net::{
    BoxFuture, Handler, IrohConfig, IrohTransport, NetError, PeerAddr, PeerId, Purpose, Secret,
    Transport, limits::BODY_BYTES_MAX,
};
use bytes::Bytes;
use tokio_real::sync::Semaphore;

/// Long enough for the slowest machine; tests that pass never wait for it.
pub const PLENTY: Duration = Duration::from_secs(60);

pub const LOCALHOST: &str = "127.0.0.1:0";

/// Echoes, except for the bodies below.
pub struct Script {
    /// Peers for this purpose are refused with these words.
    pub refuse: Option<(Purpose, String)>,
    /// Connections admitted.
    pub admitted: AtomicUsize,
    /// One permit per `HANG` that has begun.
    pub hanging: Arc<Semaphore>,
}

/// The handler never answers this body.
pub const HANG: &[u8] = b"hang";
/// The handler panics at this one.
pub const PANIC: &[u8] = b"panic";
/// The reply to this one is a byte too long.
pub const HUGE: &[u8] = b"huge";

impl Script {
    pub fn new(refuse: Option<(Purpose, &str)>) -> Arc<Self> {
        Arc::new(Self {
            refuse: refuse.map(|(purpose, reason)| (purpose, reason.to_owned())),
            admitted: AtomicUsize::new(0),
            hanging: Arc::new(Semaphore::new(0)),
        })
    }
}

impl Handler for Script {
    fn admit(&self, _from: PeerId, purpose: Purpose) -> Result<(), String> {
        match &self.refuse {
            Some((refused, reason)) if *refused == purpose => Err(reason.clone()),
            _ => {
                self.admitted.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    fn handle(&self, _from: PeerId, _purpose: Purpose, body: Bytes) -> BoxFuture<Bytes> {
        let hanging = self.hanging.clone();
        Box::pin(async move {
            match &body[..] {
                HANG => {
                    hanging.add_permits(1);
                    std::future::pending().await
                }
                PANIC => panic!("a handler with a defect, as the test wants it"),
                HUGE => Bytes::from(vec![0; BODY_BYTES_MAX + 1]),
                _ => body,
            }
        })
    }
}

pub async fn bind(secret: Secret, addr: SocketAddr) -> Result<Arc<IrohTransport>, NetError> {
    IrohTransport::bind(IrohConfig { secret, bind: addr }).await
}

pub async fn client() -> Arc<IrohTransport> {
    bind(Secret::generate(), LOCALHOST.parse().unwrap()).await.unwrap()
}

pub async fn server(script: &Arc<Script>) -> Arc<IrohTransport> {
    let server = client().await;
    server.serve(script.clone());
    server
}

pub async fn ask(
    client: &IrohTransport,
    to: PeerAddr,
    purpose: Purpose,
    body: &[u8],
) -> Result<Bytes, NetError> {
    client.request(&to, purpose, Bytes::copy_from_slice(body), PLENTY).await
}
