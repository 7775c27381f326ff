//! Tasks that go on as long as the node runs, and how they repeat.
//!
//! [`ShardJobs`] runs at most one job per shard at a time;
//! [`NodeTasks`] holds the tasks that end with the node. Leaves out what the tasks do (`placement`,
//! `across`, `periodic`).

mod node_tasks;
mod shard_jobs;

pub use node_tasks::NodeTasks;
pub use shard_jobs::ShardJobs;
