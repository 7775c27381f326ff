//! What a cluster costs that nobody asks anything: `aspen dev --nodes 3` as a process of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Failure, cpu};

const WATCH: Duration = Duration::from_secs(30);

/// Rest before the watch, and more for each shard.
const SETTLE: Duration = Duration::from_secs(5);
const SETTLE_SHARD: Duration = Duration::from_millis(200);

/// Kills the process however this ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Ended already: then there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Measures memory and CPU time of an idle development cluster with so many shards: of its one
/// process, that is of its three nodes together.
pub fn measure(shards: u16) -> Result<(), Failure> {
    let watch = WATCH.as_secs();
    println!("\nidle `aspen dev --nodes 3 --shards {shards}`, watched for {watch} s");
    let folder = tempfile::tempdir_in("target")?;
    let aspen = std::env::current_exe()?.with_file_name("aspen");
    let mut command = Command::new(aspen);
    command.arg("dev").arg(folder.path()).args(["--nodes", "3", "--shards", &shards.to_string()]);
    command.stdout(Stdio::piped());
    let start = Instant::now();
    let mut running = Running(command.spawn()?);
    let output = running.0.stdout.take().ok_or("no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    if !line.starts_with("ready") {
        return Err("the cluster did not become ready".into());
    }
    let ready = start.elapsed().as_secs_f64();
    // Until leads are spread and digests compared.
    std::thread::sleep(SETTLE + SETTLE_SHARD * u32::from(shards));
    let id = running.0.id();
    let seconds = || cpu::stat(&format!("/proc/{id}/stat")).map_or(0.0, |(_, seconds)| seconds);
    let before = seconds();
    std::thread::sleep(WATCH);
    let share = (seconds() - before) / WATCH.as_secs_f64() * 100.0;
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes: f64 = resident
        .and_then(|text| text.trim().strip_suffix(" kB")?.trim().parse().ok())
        .ok_or("no VmRSS")?;
    let megabytes = kilobytes / 1e3;
    println!("  ready after {ready:.1} s, resident {megabytes:.0} MB, CPU {share:.1}% of a core");
    Ok(())
}
