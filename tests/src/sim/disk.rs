//! The disk under a simulated node's log. It outlives the node and loses all writes that were not synced.
//!
//! Promises what a real disk does and no more: what a sync covered stays; of the rest, at a power
//! failure, each sector of 512 bytes is kept or lost by chance, so writes are lost, torn and
//! reordered. The power fails in the middle of the node's own work, after a number of operations;
//! from that moment on the node cannot speak to anybody. A disk can be full, fail to write, and rot
//! while nobody uses it. How long it takes is the log's matter (`Log::slow_down`).

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use madsim::net::NetSim;
use madsim::task::NodeId;
use madsim::time::timeout;
use rand::RngExt;
use tokio::sync::Notify;

/// The unit that a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

/// A disk. A clone is another handle.
#[derive(Clone, Debug, Default)]
pub struct SimDisk {
    image: Arc<Mutex<Image>>,
    power_lost: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Image {
    durable: Vec<u8>,
    /// The bytes that a reader sees: the durable ones with all changes since.
    view: Vec<u8>,
    unsynced: Vec<Change>,
    /// Counts power failures: a node that was started before the last one gets nothing any more.
    failures: u64,
    cut: Option<Cut>,
    trouble: Option<Trouble>,
}

/// The trouble of a live disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It has no room.
    Full,
    /// It cannot write.
    Broken,
}

impl From<Trouble> for io::Error {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Full => io::ErrorKind::StorageFull.into(),
            Trouble::Broken => io::Error::other("the simulated disk does not write"),
        }
    }
}

#[derive(Debug)]
enum Change {
    Length(usize),
    Bytes(usize, Vec<u8>),
}

#[derive(Clone, Copy, Debug)]
struct Cut {
    operations_left: u32,
    machine: NodeId,
}

/// The disk as one start of a node sees it.
#[derive(Debug)]
pub struct Attached {
    disk: SimDisk,
    failures: u64,
}

impl SimDisk {
    /// Gives the disk to a node that starts.
    pub fn attach(&self) -> Attached {
        let failures = self.image().failures;
        Attached { disk: self.clone(), failures }
    }

    /// Lets the power of `machine` fail after this many more operations, at the latest after
    /// `patience`, and waits for it.
    pub async fn fail_power(&self, machine: NodeId, operations: u32, patience: Duration) {
        self.image().cut = Some(Cut { operations_left: operations, machine });
        if timeout(patience, self.power_lost.notified()).await.is_err() {
            self.detach();
        }
    }

    /// The node that uses the disk gets nothing any more: it was killed.
    pub fn detach(&self) {
        let mut image = self.image();
        image.failures += 1;
        image.cut = None;
        image.trouble = None;
    }

    /// Gives the disk a trouble, or takes it away.
    pub fn trouble(&self, trouble: Option<Trouble>) {
        self.image().trouble = trouble;
    }

    /// Changes one bit in each of some sectors; nobody may use the disk.
    pub fn rot(&self, sectors: u32) {
        let mut image = self.image();
        for _ in 0..sectors {
            let bit = rand::rng().random_range(0..image.durable.len() * 8);
            image.durable[bit / 8] ^= 1 << (bit % 8);
        }
        image.view = image.durable.clone();
    }

    /// A new disk in place of the old one.
    pub fn replace(&self) {
        let mut image = self.image();
        *image = Image { failures: image.failures + 1, ..Image::default() };
    }

    /// Sets the durable bytes to those that are left after the failure; returns the sectors kept and lost.
    pub fn settle(&self) -> (u32, u32) {
        let mut image = self.image();
        let (mut kept, mut lost) = (0, 0);
        let mut platters = std::mem::take(&mut image.durable);
        for change in std::mem::take(&mut image.unsynced) {
            match change {
                Change::Length(bytes) if rand::rng().random_bool(0.5) => platters.resize(bytes, 0),
                Change::Length(_) => {}
                Change::Bytes(offset, bytes) => {
                    for (sector, bytes) in bytes.chunks(SECTOR_BYTES).enumerate() {
                        match rand::rng().random_bool(0.5) {
                            true => {
                                write(&mut platters, offset + sector * SECTOR_BYTES, bytes);
                                kept += 1;
                            }
                            false => lost += 1,
                        }
                    }
                }
            }
        }
        image.view = platters.clone();
        image.durable = platters;
        (kept, lost)
    }

    fn image(&self) -> MutexGuard<'_, Image> {
        self.image.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write(image: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if image.len() < end {
        image.resize(end, 0);
    }
    image[offset..end].copy_from_slice(bytes);
}

impl Image {
    /// Takes one of the operations that are left; returns the machine whose power fails with it, if it does.
    fn take_operation(&mut self) -> Option<NodeId> {
        let cut = self.cut.as_mut()?;
        if cut.operations_left > 0 {
            cut.operations_left -= 1;
            return None;
        }
        let machine = cut.machine;
        self.cut = None;
        self.failures += 1;
        Some(machine)
    }

    fn change(&mut self, change: Change) {
        match &change {
            Change::Length(bytes) => self.view.resize(*bytes, 0),
            Change::Bytes(offset, bytes) => write(&mut self.view, *offset, bytes),
        }
        self.unsynced.push(change);
    }

    fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            match change {
                Change::Length(bytes) => self.durable.resize(bytes, 0),
                Change::Bytes(offset, bytes) => write(&mut self.durable, offset, &bytes),
            }
        }
        assert_eq!(self.durable.len(), self.view.len(), "a sync makes durable what readers see");
    }
}

impl Attached {
    /// An operation that can be the node's last.
    fn mutate(&self, operation: impl FnOnce(&mut Image)) -> io::Result<()> {
        let lost = self.read(|image| {
            let lost = image.take_operation();
            match (lost, image.trouble) {
                (Some(machine), _) => Ok(Some(machine)),
                (None, Some(trouble)) => Err(io::Error::from(trouble)),
                (None, None) => {
                    operation(image);
                    Ok(None)
                }
            }
        })??;
        let Some(machine) = lost else { return Ok(()) };
        NetSim::current().clog_node(machine);
        self.disk.power_lost.notify_one();
        Err(no_power())
    }

    fn read<T>(&self, operation: impl FnOnce(&mut Image) -> T) -> io::Result<T> {
        let mut image = self.disk.image();
        match image.failures == self.failures {
            true => Ok(operation(&mut image)),
            false => Err(no_power()),
        }
    }
}

fn no_power() -> io::Error {
    io::Error::other("the simulated power failed")
}

impl redb::StorageBackend for Attached {
    fn len(&self) -> io::Result<u64> {
        self.read(|image| image.view.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let offset = offset as usize;
        let range = offset..offset + out.len();
        let copy = |bytes: &[u8]| out.copy_from_slice(bytes);
        let found = Attached::read(self, |image| image.view.get(range).map(copy))?;
        found.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.mutate(|image| image.change(Change::Length(bytes as usize)))
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.mutate(|image| image.change(Change::Bytes(offset as usize, bytes.to_vec())))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.mutate(Image::sync)
    }
}
