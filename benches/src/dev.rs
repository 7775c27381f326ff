//! `aspen dev --nodes 3` as a process of its own, so that its memory is its own too.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::failure::Failure;

/// The time that a cluster may take to stop.
const STOP_WAIT: Duration = Duration::from_secs(60);

/// A development cluster; killed however this ends.
pub struct Dev {
    child: Child,
    folder: PathBuf,
    /// The time until the cluster answered.
    pub ready: Duration,
}

impl Drop for Dev {
    fn drop(&mut self) {
        // Ended already: then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program in the same folder as this one.
pub fn aspen() -> Result<PathBuf, Failure> {
    Ok(std::env::current_exe()?.with_file_name("aspen"))
}

impl Dev {
    /// Starts three nodes with this many shards in `folder`, or the nodes that the folder already has.
    pub fn start(folder: &Path, shards: u16) -> Result<Dev, Failure> {
        let mut command = Command::new(aspen()?);
        command.arg("dev").arg(folder).args(["--nodes", "3", "--shards", &shards.to_string()]);
        command.stdout(Stdio::piped());
        let start = Instant::now();
        let (child, folder) = (command.spawn()?, folder.to_path_buf());
        let mut dev = Dev { child, folder, ready: Duration::ZERO };
        let output = dev.child.stdout.take().ok_or("no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        if !line.starts_with("ready") {
            return Err("the cluster did not become ready".into());
        }
        dev.ready = start.elapsed();
        Ok(dev)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The text of its ticket.
    pub fn ticket(&self) -> Result<String, Failure> {
        Ok(std::fs::read_to_string(self.folder.join("ticket"))?)
    }

    /// Stops it gracefully.
    pub fn stop(mut self) -> Result<(), Failure> {
        Command::new("kill").arg("-TERM").arg(self.id().to_string()).status()?;
        let end = Instant::now() + STOP_WAIT;
        while self.child.try_wait()?.is_none() {
            if Instant::now() >= end {
                return Err("the cluster does not stop".into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// A figure of a process in `/proc`, such as `VmRSS` or `VmHWM`, in megabytes; none once it is gone.
pub fn megabytes(id: u32, what: &str) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'))?;
    let kilobytes: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes / 1e3)
}
