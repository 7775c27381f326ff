//! The cost of a cluster without requests: `aspen dev --nodes 3` as a process of its own.

use std::time::Duration;

use crate::cpu;
use crate::dev::{Dev, megabytes};
use crate::failure::Failure;

const WATCH: Duration = Duration::from_secs(30);

/// Rest before the watch, and more for each shard.
const SETTLE: Duration = Duration::from_secs(5);
const SETTLE_SHARD: Duration = Duration::from_millis(200);

/// Measures memory and CPU time of an idle development cluster with this many shards: of its one
/// process, that is of its three nodes together.
pub fn measure(shards: u16) -> Result<(), Failure> {
    let watch = WATCH.as_secs();
    println!("\nidle `aspen dev --nodes 3 --shards {shards}`, watched for {watch} s");
    let folder = tempfile::tempdir_in("target")?;
    let dev = Dev::start(folder.path(), shards)?;
    let ready = dev.ready.as_secs_f64();
    // Until leads are spread and digests compared.
    std::thread::sleep(SETTLE + SETTLE_SHARD * u32::from(shards));
    let id = dev.id();
    let seconds = || cpu::stat(&format!("/proc/{id}/stat")).map_or(0.0, |(_, seconds)| seconds);
    let before = seconds();
    std::thread::sleep(WATCH);
    let share = (seconds() - before) / WATCH.as_secs_f64() * 100.0;
    let megabytes = megabytes(id, "VmRSS").ok_or("no VmRSS")?;
    println!("  ready after {ready:.1} s, resident {megabytes:.0} MB, CPU {share:.1}% of a core");
    Ok(())
}
