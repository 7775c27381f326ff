//! The process that compiles one component, seen from the node.
//!
//! Promises that the process is gone and waited for when this is dropped, and that it inherits no file
//! or socket of the node but three pipes.

use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread::{self, JoinHandle};

use super::child::REASON_BYTES_MAX;

/// A running process. The drop kills the process and waits for its end.
pub(super) struct Process {
    pub child: Child,
    /// The thread that writes the component, then holds the pipe.
    writer: Option<JoinHandle<Option<ChildStdin>>>,
}

impl Process {
    /// Starts the process and sends it the component.
    pub(super) fn start(mut command: Command, component: &[u8]) -> io::Result<Process> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = command.spawn()?;
        let mut process = Process { child, writer: None };
        let stdin = process.child.stdin.take();
        let message = [&(component.len() as u64).to_le_bytes()[..], component].concat();
        let write = move || {
            let mut stdin = stdin?;
            // This fails if the process is gone, which its status tells.
            stdin.write_all(&message).ok().map(|()| stdin)
        };
        let thread = thread::Builder::new().name("aspen-upload".into());
        process.writer = Some(thread.spawn(write)?);
        Ok(process)
    }

    /// Returns the text that a process wrote before its end.
    pub(super) fn reason(&mut self) -> String {
        let mut reason = vec![];
        if let Some(stdout) = self.child.stdout.take() {
            // A part of the reason is better than nothing.
            let _ = stdout.take(REASON_BYTES_MAX).read_to_end(&mut reason);
        }
        String::from_utf8_lossy(&reason).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // This fails if the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(writer) = self.writer.take() {
            // The writer does not wait: its pipe has no other end any more.
            let _ = writer.join();
        }
    }
}
