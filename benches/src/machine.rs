//! The speed of this machine without Aspen: so that a difference between two machines can be told from a
//! difference between two builds.

use std::fs::File;
use std::io::Write;
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use crate::cpu;
use crate::failure::Failure;

/// Each is timed so often; the median counts.
const ROUNDS: usize = 2_001;

/// A packet as a small request makes it.
const PACKET: [u8; 100] = [7; 100];

/// A write as a small commit makes it.
const BLOCK: [u8; 4096] = [7; 4096];

/// Prints the machine, and the times of the steps that a durable request waits for.
pub fn measure() -> Result<(), Failure> {
    let (round_trip, sync) = (round_trip()?, sync()?);
    println!("machine   {}", cpu::machine());
    println!(
        "          a UDP packet to another thread and back {:.0} us, an fsync of 4 KiB {:.0} us",
        round_trip.as_secs_f64() * 1e6,
        sync.as_secs_f64() * 1e6
    );
    Ok(())
}

/// Two system calls and a thread that wakes up, twice.
fn round_trip() -> Result<Duration, Failure> {
    let (here, there) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    here.connect(there.local_addr()?)?;
    there.connect(here.local_addr()?)?;
    // Loopback loses nothing that fits its buffer; should it, this ends.
    for socket in [&here, &there] {
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    }
    let echo = thread::spawn(move || -> std::io::Result<()> {
        let mut packet = PACKET;
        for _ in 0..ROUNDS {
            let bytes = there.recv(&mut packet)?;
            there.send(&packet[..bytes])?;
        }
        Ok(())
    });
    let mut packet = PACKET;
    let median = median(|| {
        here.send(&PACKET)?;
        here.recv(&mut packet)?;
        Ok(())
    })?;
    echo.join().map_err(|_| "the echo failed")??;
    Ok(median)
}

/// In the folder for temporary files, where the nodes of the other measurements are too.
fn sync() -> Result<Duration, Failure> {
    let folder = tempfile::tempdir()?;
    let mut file = File::create(folder.path().join("synced"))?;
    median(|| {
        file.write_all(&BLOCK)?;
        file.sync_data()?;
        Ok(())
    })
}

fn median(mut once: impl FnMut() -> Result<(), Failure>) -> Result<Duration, Failure> {
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        once()?;
        times.push(begun.elapsed());
    }
    times.sort();
    Ok(times[ROUNDS / 2])
}
