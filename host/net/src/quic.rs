//! The transport on real sockets: QUIC by iroh, one UDP socket per process.
//!
//! ```text
//! request -> links (one per peer, address, purpose) -> link: calls waiting, outbox -> writer ~~~>
//!                                                                                           |
//! reply   <- caller <- calls waiting <- reader <~~~ writer <- outbox <- task per request <- reader
//! ```
//!
//! Keeps the promises of [`Transport`]. `close` leaves no task, socket or connection behind. Relays,
//! discovery, hole punching and port mapping are off: packets go only to peers that were named. Every
//! task belongs to a set that ends with its owner.
//!
//! `dial` and `link` are the asking end, `accept` and `serve` the answering one, `endpoint` the
//! settings. The transport runs on real tokio only and never inside the simulator.

mod close;
mod endpoint;
mod handler_slot;
mod lock;

mod outbox;

mod link;
mod links;

mod dial;

mod accept;
mod serve;

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use iroh::Endpoint;
use snafu::ensure;
use tokio_real::{
    runtime::Handle,
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};

pub use close::CloseCode;
pub use endpoint::IrohConfig;
use handler_slot::HandlerSlot;
use link::Link;
use links::{LinkEntry, Links};
use lock::lock;

use crate::error::{NetError, TooLargeSnafu};
use crate::limits::{BODY_BYTES_MAX, CLOSE_GRACE, DEADLINE_MAX, SOCKET_POLL_INTERVAL};
use crate::peer::PeerAddr;
use crate::transport::{BoxFuture, Handler, Purpose, Transport};

/// Aspen's transport on UDP sockets.
#[derive(Debug)]
pub struct IrohTransport {
    local: PeerAddr,
    handler: Arc<HandlerSlot>,
    core: Arc<Core>,
}

/// The asking end, shared with requests under way.
#[derive(Debug)]
struct Core {
    links: Arc<Links>,
    running: Mutex<Option<LiveSocket>>,
}

/// The parts that `close` takes away.
#[derive(Debug)]
struct LiveSocket {
    endpoint: Endpoint,
    tasks: JoinSet<()>,
    runtime: Handle,
}

impl IrohTransport {
    /// Binds the socket. Until [`serve`](Self::serve) incoming connections are refused.
    ///
    /// Must be called within a tokio runtime; all tasks of the transport run there.
    pub async fn bind(config: IrohConfig) -> Result<Arc<Self>, NetError> {
        let endpoint = endpoint::open(&config).await?;
        let bound = endpoint.bound_sockets().first().copied();
        let local = PeerAddr { id: config.secret.public(), addr: bound.unwrap_or(config.bind) };
        let handler = Arc::<HandlerSlot>::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept::run(endpoint.clone(), handler.clone()));
        let running = Mutex::new(Some(LiveSocket { endpoint, tasks, runtime: Handle::current() }));
        Ok(Arc::new(Self {
            local,
            handler,
            core: Arc::new(Core { links: Arc::default(), running }),
        }))
    }

    /// Lets peers in and answers them through `handler`; without effect once closed.
    ///
    /// Called once: a second handler is a bug and panics.
    pub fn serve(&self, handler: Arc<dyn Handler>) {
        let running = lock(&self.core.running);
        if running.is_some() {
            self.handler.set(handler);
        }
    }

    /// Stops accepting, closes every connection, ends every task and frees the socket.
    ///
    /// Requests in flight fail as `ConnectionLost`, later ones as `Closed`.
    pub async fn close(&self) {
        let running = lock(&self.core.running).take();
        self.handler.empty();
        let Some(LiveSocket { endpoint, mut tasks, .. }) = running else {
            return;
        };
        // Ends every connection, and with it the tasks that wait for it.
        endpoint.close().await;
        let ended = async { while tasks.join_next().await.is_some() {} };
        // The tasks left have no connection yet, or a handler that does not come back.
        let _ = timeout(CLOSE_GRACE, ended).await;
        tasks.shutdown().await;
        drop(endpoint);
        let _ = timeout(CLOSE_GRACE, socket_freed(self.local.addr)).await;
    }
}

impl Transport for IrohTransport {
    fn local(&self) -> PeerAddr {
        self.local
    }

    fn request(
        &self,
        to: &PeerAddr,
        purpose: Purpose,
        body: Bytes,
        deadline: Duration,
    ) -> BoxFuture<Result<Bytes, NetError>> {
        let (core, peer) = (self.core.clone(), *to);
        Box::pin(async move {
            let bytes = body.len();
            ensure!(bytes <= BODY_BYTES_MAX, TooLargeSnafu { bytes, limit: BODY_BYTES_MAX });
            let after = deadline.min(DEADLINE_MAX);
            let deadline = Instant::now() + after;
            let link = timeout_at(deadline, core.link(peer, purpose)).await;
            let link = link.map_err(|_| NetError::Deadline { peer, after, sent: false })??;
            link.call(body, deadline, after).await
        })
    }
}

impl Core {
    /// Returns the link to `to`. If none exists, one task dials for all callers that wait.
    async fn link(&self, to: PeerAddr, purpose: Purpose) -> Result<Arc<Link>, NetError> {
        let outcome = self.links.find_or_begin(to, purpose, |entry| self.dial(to, purpose, entry));
        outcome?.wait().await
    }

    /// Starts the task that dials and then runs the link.
    fn dial(&self, to: PeerAddr, purpose: Purpose, entry: LinkEntry) -> Result<(), NetError> {
        let mut running = lock(&self.running);
        let running = running.as_mut().ok_or(NetError::Closed)?;
        while running.tasks.try_join_next().is_some() {}
        let task = dial::run(running.endpoint.clone(), to, purpose, entry);
        running.tasks.spawn_on(task, &running.runtime);
        Ok(())
    }
}

/// Waits until `addr` can be bound again. iroh lets go of its socket in a task of its own, a moment
/// after its last handle. A process that closes in order to start again must not meet the old socket.
async fn socket_freed(addr: SocketAddr) {
    while UdpSocket::bind(addr).is_err() {
        sleep(SOCKET_POLL_INTERVAL).await;
    }
}
