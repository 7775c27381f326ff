//! A watch channel that wakes its receivers in the order in which they began to wait.
//!
//! tokio's picks one of eight queues with random numbers that no seed controls, so two runs of one
//! seed would differ.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::task::{Poll, Waker};

use openraft_rt::{OptionalSend, OptionalSync, watch};

/// The kind of channel.
pub struct SimWatch;

struct Channel<T> {
    value: RwLock<T>,
    ends: Mutex<Ends>,
}

struct Ends {
    version: u64,
    senders: usize,
    receivers: usize,
    next_receiver: u64,
    waiting: Vec<(u64, Waker)>,
}

/// Changes the value.
pub struct Sender<T>(Arc<Channel<T>>);

/// Waits for changes.
pub struct Receiver<T> {
    channel: Arc<Channel<T>>,
    seen: u64,
    number: u64,
}

/// The value, locked.
pub struct Ref<'a, T>(RwLockReadGuard<'a, T>);

impl<T> Deref for Ref<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Channel<T> {
    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, T> {
        self.value.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.value.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.ends().version += 1;
        self.wake();
    }

    fn wake(&self) {
        let waiting = std::mem::take(&mut self.ends().waiting);
        waiting.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.ends().senders += 1;
        Sender(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let left = {
            let mut ends = self.0.ends();
            ends.senders -= 1;
            ends.senders
        };
        if left == 0 {
            self.0.wake();
        }
    }
}

impl<T> Receiver<T> {
    /// A receiver that has seen version `seen`, or the present one.
    fn new(channel: &Arc<Channel<T>>, seen: Option<u64>) -> Self {
        let mut ends = channel.ends();
        ends.receivers += 1;
        ends.next_receiver += 1;
        let (seen, number) = (seen.unwrap_or(ends.version), ends.next_receiver);
        drop(ends);
        Receiver { channel: channel.clone(), seen, number }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self::new(&self.channel, Some(self.seen))
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut ends = self.channel.ends();
        ends.receivers -= 1;
        ends.waiting.retain(|(number, _)| *number != self.number);
    }
}

impl watch::Watch for SimWatch {
    type Sender<T: OptionalSend + OptionalSync> = Sender<T>;
    type Receiver<T: OptionalSend + OptionalSync> = Receiver<T>;
    type Ref<'a, T: OptionalSend + 'a> = Ref<'a, T>;

    fn channel<T: OptionalSend + OptionalSync>(init: T) -> (Sender<T>, Receiver<T>) {
        let ends = Ends { version: 0, senders: 1, receivers: 0, next_receiver: 0, waiting: vec![] };
        let channel = Arc::new(Channel { value: RwLock::new(init), ends: Mutex::new(ends) });
        let receiver = Receiver::new(&channel, None);
        (Sender(channel), receiver)
    }
}

impl<T: OptionalSend + OptionalSync> watch::WatchSender<SimWatch, T> for Sender<T> {
    fn send(&self, value: T) -> Result<(), watch::SendError<T>> {
        if self.0.ends().receivers == 0 {
            return Err(watch::SendError(value));
        }
        *self.0.write() = value;
        self.0.changed();
        Ok(())
    }

    fn send_if_modified<F>(&self, modify: F) -> bool
    where
        F: FnOnce(&mut T) -> bool,
    {
        let modified = modify(&mut self.0.write());
        if modified {
            self.0.changed();
        }
        modified
    }

    fn borrow_watched(&self) -> Ref<'_, T> {
        Ref(self.0.read())
    }

    fn subscribe(&self) -> Receiver<T> {
        Receiver::new(&self.0, None)
    }
}

impl<T: OptionalSend + OptionalSync> watch::WatchReceiver<SimWatch, T> for Receiver<T> {
    async fn changed(&mut self) -> Result<(), watch::RecvError> {
        std::future::poll_fn(|context| {
            let channel = self.channel.clone();
            let mut ends = channel.ends();
            if ends.version != self.seen {
                self.seen = ends.version;
                return Poll::Ready(Ok(()));
            }
            if ends.senders == 0 {
                return Poll::Ready(Err(watch::RecvError(())));
            }
            match ends.waiting.iter_mut().find(|(number, _)| *number == self.number) {
                Some((_, waker)) => waker.clone_from(context.waker()),
                None => ends.waiting.push((self.number, context.waker().clone())),
            }
            Poll::Pending
        })
        .await
    }

    fn borrow_watched(&self) -> Ref<'_, T> {
        Ref(self.channel.read())
    }

    fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let value = self.channel.read();
        self.seen = self.channel.ends().version;
        Ref(value)
    }
}
