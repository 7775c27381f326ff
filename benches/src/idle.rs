//! What a cluster costs that nobody asks anything: `aspen dev --nodes 3` as a process of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::{Failure, cpu};

const WATCH: Duration = Duration::from_secs(20);

/// Kills the process however this ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Ended already: then there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Measures memory and CPU time of an idle development cluster.
pub fn measure() -> Result<(), Failure> {
    println!("\nidle `aspen dev --nodes 3`, watched for {} s", WATCH.as_secs());
    let folder = tempfile::tempdir_in("target")?;
    let aspen = std::env::current_exe()?.with_file_name("aspen");
    let mut command = Command::new(aspen);
    command.arg("dev").arg(folder.path()).args(["--nodes", "3"]).stdout(Stdio::piped());
    let mut running = Running(command.spawn()?);
    let output = running.0.stdout.take().ok_or("no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    if !line.starts_with("ready") {
        return Err("the cluster did not become ready".into());
    }
    std::thread::sleep(Duration::from_secs(3));
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
    println!("  resident memory {:.0} MB, CPU {share:.1}% of a core", kilobytes / 1e3);
    Ok(())
}
