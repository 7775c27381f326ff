//! The tasks that end with the node.

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
