//! A network between nodes that loses, doubles, delays and reorders datagrams, and can be cut.
//!
//! ```text
//! client or node ──> front of node 2 ──> flow ──> socket of node 2
//!   its own socket     the address that     one socket for each sender, so that
//!                      everybody knows      answers find their way back
//! ```
//!
//! A node's address is the address of its front; the node itself is moved to a socket that the relay
//! alone reaches. So every datagram passes here, and its sender tells its pair of nodes. Cuts are between
//! nodes, in one direction or both; clients reach a node that is cut off.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aspen_tests::history::Choices;
use tokio_real as tokio;
use tokio_real::net::UdpSocket;
use tokio_real::task::JoinSet;

/// More than any datagram of QUIC.
const DATAGRAM_BYTES_MAX: usize = 2_048;

/// The damage that the network does to datagrams, in percent of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// Lost.
    pub lost: u64,
    /// Sent twice.
    pub doubled: u64,
    /// Sent up to `delay_ms` later, and so behind others.
    pub delayed: u64,
    /// The longest delay.
    pub delay_ms: u64,
}

/// The network. Gone when it is dropped.
pub struct Relay {
    net: Arc<Mutex<Net>>,
    _fronts: JoinSet<()>,
}

/// The state that all fronts and flows share.
struct Net {
    /// The address of each node's own socket, once the node is started.
    nodes: Vec<Option<SocketAddr>>,
    /// Pairs of nodes, from and to, between which nothing passes.
    cuts: BTreeSet<(usize, usize)>,
    weather: Weather,
    choices: Choices,
    stopped: usize,
}

impl Relay {
    /// Takes the addresses of the nodes, which must be free.
    pub async fn start(fronts: &[SocketAddr], seed: u64) -> Relay {
        let net = Net {
            nodes: vec![None; fronts.len()],
            cuts: BTreeSet::new(),
            weather: Weather::default(),
            choices: Choices::new(seed),
            stopped: 0,
        };
        let net = Arc::new(Mutex::new(net));
        let mut tasks = JoinSet::new();
        for (node, address) in fronts.iter().enumerate() {
            let socket = UdpSocket::bind(address).await.unwrap();
            let front = Front { node, socket: Arc::new(socket), net: net.clone() };
            tasks.spawn(front.run());
        }
        Relay { net, _fronts: tasks }
    }

    /// Tells where a node's own socket is.
    pub fn set_node(&self, node: usize, socket: SocketAddr) {
        lock(&self.net).nodes[node] = Some(socket);
    }

    /// Changes the weather everywhere.
    pub fn set_weather(&self, weather: Weather) {
        lock(&self.net).weather = weather;
    }

    /// Lets nothing pass from one node to another.
    pub fn cut(&self, from: usize, to: usize) {
        lock(&self.net).cuts.insert((from, to));
    }

    /// Ends all cuts.
    pub fn heal(&self) {
        lock(&self.net).cuts.clear();
    }

    /// Returns the number of datagrams that were lost or met a cut so far.
    pub fn stopped(&self) -> usize {
        lock(&self.net).stopped
    }
}

/// The socket at which datagrams to one node arrive.
struct Front {
    node: usize,
    socket: Arc<UdpSocket>,
    net: Arc<Mutex<Net>>,
}

impl Front {
    async fn run(self) {
        let mut flows: BTreeMap<SocketAddr, Arc<UdpSocket>> = BTreeMap::new();
        let mut answers = JoinSet::new();
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            let Ok((bytes, sender)) = self.socket.recv_from(&mut buffer).await else { continue };
            let flow = match flows.get(&sender) {
                Some(flow) => flow.clone(),
                None => {
                    let own = SocketAddr::new(self.socket.local_addr().unwrap().ip(), 0);
                    let flow = Arc::new(UdpSocket::bind(own).await.unwrap());
                    flows.insert(sender, flow.clone());
                    answers.spawn(self.answers(flow.clone(), sender));
                    flow
                }
            };
            let from = lock(&self.net).node_at(sender);
            let Some(to) = lock(&self.net).nodes[self.node] else { continue };
            pass(&self.net, (from, Some(self.node)), &flow, to, &buffer[..bytes]).await;
        }
    }

    /// Passes on the datagrams that the node sends back on one flow.
    fn answers(
        &self,
        flow: Arc<UdpSocket>,
        sender: SocketAddr,
    ) -> impl Future<Output = ()> + use<> {
        let (net, front, node) = (self.net.clone(), self.socket.clone(), self.node);
        async move {
            let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
            loop {
                // An error is a node's that is not there: it may come back.
                let Ok((bytes, _)) = flow.recv_from(&mut buffer).await else { continue };
                let to = lock(&net).node_at(sender);
                pass(&net, (Some(node), to), &front, sender, &buffer[..bytes]).await;
            }
        }
    }
}

/// Sends a datagram on, if and when the network lets it.
async fn pass(
    net: &Mutex<Net>,
    pair: (Option<usize>, Option<usize>),
    socket: &Arc<UdpSocket>,
    to: SocketAddr,
    datagram: &[u8],
) {
    let fate = lock(net).fate(pair);
    for delay_ms in fate {
        if delay_ms == 0 {
            // Lost if it cannot be sent, as any datagram may be.
            let _ = socket.send_to(datagram, to).await;
            continue;
        }
        let (socket, datagram) = (socket.clone(), datagram.to_vec());
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
            let _ = socket.send_to(&datagram, to).await;
        });
    }
}

impl Net {
    fn node_at(&self, socket: SocketAddr) -> Option<usize> {
        self.nodes.iter().position(|node| *node == Some(socket))
    }

    /// The delay of each copy of a datagram: none if it is lost.
    fn fate(&mut self, pair: (Option<usize>, Option<usize>)) -> Vec<u64> {
        let is_cut = matches!(pair, (Some(from), Some(to)) if self.cuts.contains(&(from, to)));
        let Weather { lost, doubled, delayed, delay_ms } = self.weather;
        if is_cut || self.choices.below(100) < lost {
            self.stopped += 1;
            return vec![];
        }
        let copies = if self.choices.below(100) < doubled { 2 } else { 1 };
        let mut delay = || match self.choices.below(100) < delayed {
            true => 1 + self.choices.below(delay_ms),
            false => 0,
        };
        (0..copies).map(|_| delay()).collect()
    }
}

fn lock(net: &Mutex<Net>) -> MutexGuard<'_, Net> {
    net.lock().expect("no panic under the lock")
}
