//! A node: the replicas it hosts, the requests it answers, the cluster it belongs to.
//!
//! Joins the storage (`aspen-store`) and the functions (`aspen-functions`) under Raft, and knows
//! the network only as `aspen-net`'s traits: the same code runs on iroh, inside one process
//! ([`open`]) and in the simulator.
//!
//! Promises: a write is answered after a majority has it on disk and it is applied; a read is
//! linearizable; a node that has failed answers nothing but that it has failed.
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

mod access;
mod balance;
mod beside;
mod call_across;
mod compile_ahead;
mod components;
mod config;
mod divergence;
mod driving;
mod embedded;
mod error;
mod fairness;
mod folder;
#[cfg(all(test, not(madsim)))]
mod fuzz_envelopes;
mod held;
mod limits;
mod local;
mod map;
mod node;
mod open_view;
mod opening;
mod participate;
mod placement;
mod profile;
mod pulse;
mod query;
mod raft_net;
mod raft_serve;
mod rate;
mod replay;
mod requests;
mod shard;
mod ticking;
mod turns;
mod two_phase;
mod verify;
mod views;
mod waiting;

pub use aspen_functions::WasmFunctions;
pub use config::{Clock, NodeConfig, Timing};
pub use embedded::{Embedded, open, open_sharded};
pub use error::{FolderError, NodeError};
pub use folder::{Folder, Identity, replace as replace_file, secret_file};
pub use held::Held;
pub use map::Known;
pub use node::{NodeHandler, ShardedRaftNode};
pub use replay::{ReplayError, Replayed, replay};
