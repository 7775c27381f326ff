//! [`Sim`]: runs the clients of one seed, step by step.

use std::cell::RefCell;
use std::mem;
use std::rc::Rc;
use std::task::{Context, Waker};

use super::client::Client;
use super::world::{Task, World};

/// Steps after which a client is said to wait for something that never comes.
const STEPS_MAX: u64 = 1_000_000;

/// A shard, and the clients that use it.
pub struct Sim {
    world: Rc<RefCell<World>>,
    tasks: Vec<Task>,
    clients: u8,
}

impl Sim {
    /// An empty shard whose faults all follow from the seed.
    pub fn seed(seed: u64) -> Self {
        let world = Rc::new(RefCell::new(World::new(seed)));
        Self { world, tasks: vec![], clients: 0 }
    }

    /// Makes a call at once and without faults, to prepare the shard or to look at it.
    pub fn call<T, E>(&mut self, function: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.world.borrow_mut().shard.call(function)
    }

    /// Runs `holds` from now on after each call that was applied. It reads with `store`, as a function
    /// does, and panics if the data is wrong.
    pub fn invariant(&mut self, holds: impl Fn() + 'static) {
        self.world.borrow_mut().invariants.push(Rc::new(holds));
    }

    /// Adds a client. It does nothing before [`Sim::run`], and may await nothing but its calls.
    pub fn client<F: Future<Output = ()> + 'static>(&mut self, work: impl FnOnce(Client) -> F) {
        self.clients += 1;
        let client = Client::new(self.world.clone(), self.clients);
        self.tasks.push(Box::pin(work(client)));
    }

    /// Runs until all clients are done and no late request is left.
    pub fn run(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        for step in 0.. {
            assert!(step < STEPS_MAX, "clients wait for something that is no call");
            let mut world = self.world.borrow_mut();
            self.tasks.append(&mut world.late);
            if self.tasks.is_empty() {
                break;
            }
            world.jump_clock();
            let next = world.random.below(self.tasks.len() as u64) as usize;
            drop(world);
            if self.tasks[next].as_mut().poll(&mut context).is_ready() {
                drop(self.tasks.swap_remove(next));
            }
        }
    }

    /// Returns the steps so far, and forgets them.
    pub(super) fn take_steps(&mut self) -> Vec<String> {
        mem::take(&mut self.world.borrow_mut().steps)
    }
}
