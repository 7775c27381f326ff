//! Starts the product's node on a simulated machine, each time that the machine starts.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aspen_core::ids::NodeId;
use aspen_functions::WasmFunctions;
use aspen_net::{PeerAddr, Transport};
use aspen_node::{Clock, Identity, NodeConfig, NodeHandler, ShardedRaftNode, Timing};
use aspen_store::Log;

use super::disk::SimDisk;
use super::network::Network;
use super::running_nodes::RunningNodes;
use super::trace::Trace;
use super::transport::SimTransport;

/// Everything that a machine needs to start.
#[derive(Clone)]
pub struct Boot {
    pub number: u8,
    /// The identity of the machine's node; none yet if the machine waits to join.
    pub seat: Arc<Mutex<Option<Identity>>>,
    pub founders: Vec<(NodeId, PeerAddr)>,
    pub states: PathBuf,
    pub disk: SimDisk,
    pub clock: Clock,
    pub timing: Timing,
    pub leaks_clock: Arc<AtomicBool>,
    pub is_newer: Arc<AtomicBool>,
    pub network: Network,
    pub running: RunningNodes,
    pub trace: Trace,
}

impl Boot {
    /// Runs the node until the machine stops.
    pub async fn run(self) {
        let identity = self.seat.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(identity) = identity
            && let Err(reason) = self.start(identity).await
        {
            self.trace.event(format_args!("  n{} halts: {reason}", self.number));
            self.running.halted(self.number, reason);
        }
        // madsim stops a machine whose first task ends.
        std::future::pending().await
    }

    async fn start(&self, identity: Identity) -> Result<(), String> {
        let (id, address) = (identity.node, identity.address);
        let (network, trace) = (self.network.clone(), self.trace.clone());
        let transport = SimTransport::bind(address, network, trace).await;
        let transport = transport.expect("the address is free");
        let options = aspen_functions::Options {
            cache: Some(self.states.join("modules")),
            ..aspen_functions::Options::default()
        };
        let functions = Arc::new(WasmFunctions::new(options).expect("the engine starts"));
        functions.planted().leak_clock(self.leaks_clock.load(Ordering::Relaxed));
        functions.planted().make_newer(self.is_newer.load(Ordering::Relaxed));
        let log = Log::with_backend(self.disk.attach(), identity.store()).map_err(text)?;
        let (states, clock) = (self.states.clone(), self.clock.clone());
        let config = NodeConfig { identity, states, timing: self.timing, clock };
        let sockets: Arc<dyn Transport> = transport.clone();
        let node =
            ShardedRaftNode::start(config, log.clone(), sockets, functions).await.map_err(text)?;
        transport.serve(Arc::new(NodeHandler(node.clone())));
        self.running.started(self.number, node.clone(), log);
        self.trace.event(format_args!("  n{} runs as {id}", self.number));
        if self.founders[0].0 == id {
            // A failing disk, or power, may end it; the next start does it again.
            if let Err(error) = node.initialize(&self.founders).await {
                self.trace.event(format_args!("  n{}: {error}", self.number));
            }
        }
        Ok(())
    }
}

/// An error with its causes.
fn text(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
