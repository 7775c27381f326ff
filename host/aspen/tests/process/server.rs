//! Servers that end with their test, and commands that are run against them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

pub const ASPEN: &str = env!("CARGO_BIN_EXE_aspen");

/// The time that a server may take for its own work: far above the need of a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server process, killed when it goes out of scope.
pub struct Server {
    child: Child,
    /// Its error output, line by line.
    errors: mpsc::Receiver<String>,
}

impl Server {
    /// Starts `aspen` with these arguments and waits for its line `ready`.
    pub fn start(args: &[&str]) -> Server {
        Self::try_start(args).expect("the server becomes ready")
    }

    /// Starts as [`Server::start`]; returns the error output if the server does not start.
    pub fn try_start(args: &[&str]) -> Result<Server, String> {
        let mut command = Command::new(ASPEN);
        command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (said, errors) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        // The thread ends with the process; a test need not listen.
        std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).try_for_each(|line| said.send(line))
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let server = Server { child, errors };
        match line.starts_with("ready") {
            true => Ok(server),
            false => Err(server.errors()),
        }
    }

    /// Waits until it writes a line to stderr that contains this.
    pub fn says(&self, text: &str) {
        while !self.errors.recv_timeout(PATIENCE).expect(text).contains(text) {}
    }

    /// SIGKILL: the process has no chance to finish anything.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGINT, as Ctrl-C sends it; the process must end well.
    pub fn interrupt(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }

    /// All that it writes to stderr until it ends.
    fn errors(&self) -> String {
        self.errors.iter().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already, as a rule.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `aspen` on the cluster of this folder.
pub fn aspen(dir: &Path) -> Command {
    let mut command = Command::new(ASPEN);
    command.arg("--connect").arg(dir);
    command
}

/// Exit code, output, errors.
pub fn told(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap().trim_end().to_string();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Runs a command on the cluster of this folder: exit code, output, errors.
pub fn run(dir: &Path, args: &[&str]) -> (i32, String, String) {
    told(aspen(dir).args(args).output().unwrap())
}

/// A path as an argument.
pub fn path(dir: &Path) -> &str {
    dir.to_str().unwrap()
}
