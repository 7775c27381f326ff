//! A node: the replicas it hosts, the requests it answers, the cluster it belongs to.
//!
//! Joins the storage (`aspen-store`) and the functions (`aspen-functions`) under Raft, and knows
//! the network only as `aspen-net`'s traits: the same code runs on iroh, inside one process
//! ([`open`]) and in the simulator.
//!
//! Promises: a write is answered after a majority has the write on disk and the leader has applied
//! it; a read is linearizable; a node that has failed answers only that it has failed.
//!
//! Rooms, bottom to top; each uses only those above it in this list:
//! - `error`, `folder`, `limits`: errors, the data folder, bounds
//! - `config`: the settings that a node starts from
//! - `peer`: the messages between nodes, and the client side of them
//! - `tasks`: one job per shard at a time, tasks that end with the node
//! - `admission`: admission control: calls of functions that take long wait before they run
//! - `replica`: one replica of one shard, and all that belongs to one replica
//! - `context`: the state that every part of a running node shares
//! - `ask`: asking the leader of a shard, on any node
//! - `placement`: the placement map, and moving replicas as the map says
//! - `functions`: uploaded components, and functions that run in the background
//! - `across`: transactions and calls across shards
//! - `views`: views of several shards at one moment
//! - `requests`: answers to clients
//! - `peer_requests`: answers to other nodes
//! - `periodic`: heartbeats, leader balancing, due entries, digest checks, rates
//! - `node`: starting and stopping a node
//! - `local`, `embedded`: a client in the node's process, and a store inside one program
//! - `replay`: one entry of a stopped node's log, run once more
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let store = aspen_node::open("data").await?;
//! let client = store.client();
//! client.put("greeting", "hello").await?;
//! let record = client.get("greeting").await?.expect("just written");
//! assert_eq!(record.value.as_bytes(), b"hello");
//! store.close().await;
//! # Ok(()) }
//! ```

mod error;
mod folder;
mod limits;

mod config;
mod peer;
mod tasks;

mod admission;
mod replica;

mod context;

mod ask;
mod placement;

mod functions;

mod across;
mod views;

mod requests;

mod peer_requests;
mod periodic;

mod node;

mod local;

mod embedded;
mod replay;

pub use aspen_functions::WasmFunctions;
pub use config::{Clock, NodeConfig, Timing};
pub use embedded::{Embedded, open, open_sharded};
pub use error::{FolderError, NodeError};
pub use folder::{Folder, Identity, replace as replace_file, secret_file};
pub use node::{NodeHandler, ShardedRaftNode};
pub use peer::PlacementMap;
pub use replay::{ReplayError, ReplayReport, replay};
pub use replica::HeldResources;
