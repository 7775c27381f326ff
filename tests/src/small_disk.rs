//! A disk that a test can fill: a tmpfs of a few megabytes.
//!
//! Promises that it is unmounted when it is dropped. Needs the right to mount; without it the caller
//! gets a sentence that says so, and decides whether that is a failure.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A small file system of its own, unmounted at the end.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one at an existing folder, or says why that cannot be done here.
    pub fn mount(at: &Path, megabytes: u32) -> Result<SmallDisk, String> {
        let size = format!("size={megabytes}m");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at);
        match mount.output() {
            Ok(output) if output.status.success() => Ok(SmallDisk(at.to_path_buf())),
            Ok(output) => {
                let errors = String::from_utf8_lossy(&output.stderr);
                Err(format!("cannot mount a tmpfs, which needs root: {}", errors.trim()))
            }
            Err(error) => Err(format!("cannot run `mount`: {error}")),
        }
    }

    /// Returns the folder where the disk is mounted.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A leftover mount harms nobody but says so by itself in the next run.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
