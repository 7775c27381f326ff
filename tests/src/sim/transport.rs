//! The network of the simulation: [`Transport`] over madsim's messages.
//!
//! Keeps the promises of the trait, to the holder of the key and within the deadline, except one: a
//! request may arrive twice, which is more than the real transport lets happen and must do no harm.
//! A lost message, asked or answered, is found by its deadline alone, so such an error is always
//! ambiguous. Bodies travel as they are. Admission is asked per request, which is stricter than a
//! connection's. Leaves out connections: nothing is ever reset.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use aspen_net::limits::BODY_BYTES_MAX;
use aspen_net::{BoxFuture, Handler, NetError, PeerAddr, PeerId, Purpose, Transport};
use bytes::Bytes;
use madsim::net::Endpoint;
use madsim::net::rpc::Request;
use madsim::time::{sleep, timeout};
use serde::{Deserialize, Serialize};

use super::network::Network;
use super::trace::Trace;

/// The socket of one simulated machine.
pub struct SimTransport {
    endpoint: Endpoint,
    local: PeerAddr,
    network: Network,
    trace: Trace,
}

/// A request as it travels.
#[derive(Serialize, Deserialize)]
struct WireRequest {
    from: PeerAddr,
    to: PeerId,
    purpose: u8,
    body: Bytes,
}

/// A reply as it travels.
#[derive(Serialize, Deserialize)]
enum WireReply {
    Answered(Bytes),
    Refused(String),
    /// Another key was asked for than the one that lives here.
    OtherPeer,
}

impl Request for WireRequest {
    type Response = WireReply;
    const ID: u64 = 1;
}

impl SimTransport {
    /// Binds `local` on the machine that this is called on.
    pub async fn bind(local: PeerAddr, network: Network, trace: Trace) -> io::Result<Arc<Self>> {
        let endpoint = Endpoint::bind(local.addr).await?;
        Ok(Arc::new(Self { endpoint, local, network, trace }))
    }

    /// Answers requests with `handler` until this machine stops.
    pub fn serve(&self, handler: Arc<dyn Handler>) {
        let (local, trace) = (self.local, self.trace.clone());
        self.endpoint.add_rpc_handler(move |ask: WireRequest| {
            let (handler, trace) = (handler.clone(), trace.clone());
            async move {
                let from = ask.from;
                let purpose = Purpose::from_byte(ask.purpose).expect("the sender had a purpose");
                let reply = answer(&*handler, local, purpose, ask).await;
                if let WireReply::Answered(body) = &reply {
                    trace.message(&local, &from, purpose, body);
                }
                reply
            }
        });
    }
}

async fn pass(delay: Duration) {
    if !delay.is_zero() {
        sleep(delay).await;
    }
}

async fn answer(
    handler: &dyn Handler,
    local: PeerAddr,
    purpose: Purpose,
    ask: WireRequest,
) -> WireReply {
    if ask.to != local.id {
        return WireReply::OtherPeer;
    }
    match handler.admit(ask.from.id, purpose) {
        Ok(()) => WireReply::Answered(handler.handle(ask.from.id, purpose, ask.body).await),
        Err(reason) => WireReply::Refused(reason),
    }
}

impl Transport for SimTransport {
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
        let (bytes, limit) = (body.len(), BODY_BYTES_MAX);
        if bytes > limit {
            return Box::pin(async move { Err(NetError::TooLarge { bytes, limit }) });
        }
        let (endpoint, trace) = (self.endpoint.clone(), self.trace.clone());
        let network = self.network.clone();
        let (from, peer) = (self.local, *to);
        Box::pin(async move {
            trace.message(&from, &peer, purpose, &body);
            let ask = || WireRequest {
                from,
                to: peer.id,
                purpose: purpose.to_byte(),
                body: body.clone(),
            };
            if network.duplicates() {
                let (endpoint, again) = (endpoint.clone(), ask());
                // Nobody waits for its reply.
                drop(madsim::task::spawn(async move {
                    let _ = timeout(deadline, endpoint.call(peer.addr, again)).await;
                }));
            }
            let (there, back) = (from.addr.ip(), peer.addr.ip());
            let travel = async {
                pass(network.delay(there, back)).await;
                let answered = endpoint.call(peer.addr, ask()).await;
                pass(network.delay(back, there)).await;
                answered
            };
            match timeout(deadline, travel).await {
                Ok(Ok(WireReply::Answered(body))) => Ok(body),
                Ok(Ok(WireReply::Refused(reason))) => Err(NetError::Refused { peer, reason }),
                Ok(Ok(WireReply::OtherPeer)) => {
                    let source = Arc::new(io::Error::other("another peer lives there"));
                    Err(NetError::Unreachable { peer, source })
                }
                Ok(Err(error)) => {
                    let source = Arc::new(error);
                    Err(NetError::ConnectionLost { peer, sent: true, source })
                }
                Err(_) => Err(NetError::Deadline { peer, after: deadline, sent: true }),
            }
        })
    }
}
