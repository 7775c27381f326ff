//! The tasks that end with the node.
//!
//! Promises that no task runs once [`NodeTasks::stop`] has returned. A node that is dropped without
//! a stop leaves its tasks to themselves: most hold a weak reference and end by that.

use std::sync::Mutex;

use tokio::task::JoinHandle;

/// The tasks of a node.
#[derive(Default)]
pub struct NodeTasks(Mutex<Vec<JoinHandle<()>>>);

impl NodeTasks {
    /// Runs a task until the task is over or the node stops.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let task = tokio::spawn(task);
        self.0.lock().expect("no panic under the lock").push(task);
    }

    /// Ends all tasks, one after the other.
    pub async fn stop(&self) {
        let tasks = std::mem::take(&mut *self.0.lock().expect("no panic under the lock"));
        for task in tasks {
            task.abort();
            // An aborted task gives an error, and that is no news.
            let _ = task.await;
        }
    }
}
