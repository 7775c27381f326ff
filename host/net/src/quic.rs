//! The transport on real sockets: QUIC by iroh, one UDP socket per process.
//!
//! ```text
//! request -> links (one per peer, address, purpose) -> link: calls waiting, outbox -> writer ~~~>
//!                                                                                           |
//! reply   <- caller <- calls waiting <- reader <~~~ writer <- outbox <- task per request <- reader
//! ```
//!
//! It promises what [`Transport`] promises, and that `close` leaves no task, socket or connection
//! behind. Relays, discovery, hole punching and port mapping are off: no packet goes to anybody who
//! was not named. Every task belongs to a set that ends with its owner.
//!
//! `dial` and `link` are the asking end, `accept` and `serve` the answering one, `endpoint` the
//! settings. It runs on real tokio only and never inside the simulator.

mod accept;
mod close;
mod dial;
mod endpoint;
mod link;
mod links;
mod outbox;
mod serve;

use std::{
    fmt,
    net::{SocketAddr, UdpSocket},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
use link::Link;
use links::{Begun, Links};

use crate::{
    BoxFuture, Handler, NetError, PeerAddr, Purpose, Secret, Transport,
    error::TooLargeSnafu,
    limits::{BODY_BYTES_MAX, CLOSE_GRACE, DEADLINE_MAX, SOCKET_POLL_INTERVAL},
};

/// Who we are and where we listen.
#[derive(Clone, Debug)]
pub struct IrohConfig {
    /// Our identity.
    pub secret: Secret,
    /// Address of the UDP socket; port 0 takes a free one.
    pub bind: SocketAddr,
}

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
    running: Mutex<Option<Running>>,
}

/// What `close` takes away.
#[derive(Debug)]
struct Running {
    endpoint: Endpoint,
    tasks: JoinSet<()>,
    runtime: Handle,
}

/// The handler, once there is one. Emptied by `close`, because handlers often hold the transport.
#[derive(Default)]
struct HandlerSlot(Mutex<Option<Arc<dyn Handler>>>);

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
        let running = Mutex::new(Some(Running { endpoint, tasks, runtime: Handle::current() }));
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
            let before = lock(&self.handler.0).replace(handler);
            assert!(before.is_none(), "a transport serves one handler");
        }
    }

    /// Stops accepting, closes every connection, ends every task and frees the socket.
    ///
    /// Requests in flight fail as `ConnectionLost`, later ones as `Closed`.
    pub async fn close(&self) {
        let running = lock(&self.core.running).take();
        drop(lock(&self.handler.0).take());
        let Some(Running { endpoint, mut tasks, .. }) = running else {
            return;
        };
        // Ends every connection, and with it the tasks that wait for it.
        endpoint.close().await;
        let ended = async { while tasks.join_next().await.is_some() {} };
        // What is left has no connection yet, or a handler that does not come back.
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
    /// The link to `to`; dialled if there is none, by one task for all who wait.
    async fn link(&self, to: PeerAddr, purpose: Purpose) -> Result<Arc<Link>, NetError> {
        let outcome = self.links.find_or_begin(to, purpose, |begun| self.dial(to, purpose, begun));
        outcome?.wait().await
    }

    /// Starts the task that dials and then runs the link.
    fn dial(&self, to: PeerAddr, purpose: Purpose, begun: Begun) -> Result<(), NetError> {
        let mut running = lock(&self.running);
        let running = running.as_mut().ok_or(NetError::Closed)?;
        while running.tasks.try_join_next().is_some() {}
        let task = dial::run(running.endpoint.clone(), to, purpose, begun);
        running.tasks.spawn_on(task, &running.runtime);
        Ok(())
    }
}

impl HandlerSlot {
    fn get(&self) -> Option<Arc<dyn Handler>> {
        lock(&self.0).clone()
    }
}

impl fmt::Debug for HandlerSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.get().is_some() { "serving" } else { "not serving" })
    }
}

/// Waits until `addr` can be bound again. iroh lets go of its socket in a task of its own, a moment
/// after its last handle, and who closes in order to start again must not meet the old socket.
async fn socket_freed(addr: SocketAddr) {
    while UdpSocket::bind(addr).is_err() {
        sleep(SOCKET_POLL_INTERVAL).await;
    }
}

/// Locks; what a panicking holder left behind is still consistent, for no lock is held across
/// anything that can panic half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
