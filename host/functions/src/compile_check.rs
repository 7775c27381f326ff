//! Tries to compile a component in a process of its own, before anything is proposed.
//!
//! A component within every limit of the upload check can still take minutes or gigabytes to compile.
//! The process that tries it sets limits on itself (CPU time, address space). Such a component is refused,
//! and the node that asked goes on serving. The verdict depends on the machine: it decides if the leader
//! proposes an upload, never the outcome of an entry.
//!
//! ```text
//! node                                   aspen compile-check LEVEL SECONDS MIB [FOLDER]
//!   8 bytes of length, the component  ->   sets its limits, reads, compiles, keeps the code in FOLDER
//!   (holds the pipe open)                  ends by itself when the pipe closes: no orphans
//!   waits, up to a limit              <-   exit code; a reason on its output if it cannot run
//! ```
//!
//! Promises that the process is gone and waited for when [`CompileCheck::run`] returns, also after an
//! error. The code that the process keeps is code of this program on this machine, which the node loads
//! as its own. Leaves out where the program comes from: the caller that starts a node names it, or no
//! process is used. `compile_check/child.rs` is the process's own part.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use snafu::ResultExt;

pub use self::child::compile_check;
use self::child::{EXIT_TOO_LARGE, EXIT_UNFIT};
pub use self::error::CompileError;
use self::error::{
    BusySnafu, CrashedSnafu, GivenUpSnafu, StartSnafu, TooLargeSnafu, TooSlowSnafu, UnfitSnafu,
};
use self::process::Process;
use crate::compile::engine::Level;
use crate::profile::class::Class;

mod child;
mod error;
mod process;

/// Address space that the program's allocator takes at once, KiB.
const ALLOCATED_AT_ONCE_KIB: u64 = 32 << 10;

/// CPU time that compiling one component may take. The largest real guests take 3 s.
pub const COMPILE_CPU_SECONDS: u64 = 10;

/// Memory that compiling one component may take, the program itself included: 1 GiB. Real guests
/// take less than a tenth.
pub const COMPILE_MEMORY_MIB: u64 = 1024;

/// The time that the process may take in all, as a multiple of its CPU time: the machine does other things
/// too. A client waits longer.
const WAIT_FACTOR: u64 = 2;

/// The least of that time: the start of a process takes time, too.
const WAIT_MIN: Duration = Duration::from_secs(WAIT_FACTOR * COMPILE_CPU_SECONDS);

/// A large component may take 9 times the CPU time and 3 times the memory: 90 s and 3 GiB. JavaScript and
/// Python take some 20 s of an optimised build. The process gets six minutes for it, because it lets all
/// others go first.
const LARGE_COMPILE_TIME_FACTOR: u64 = 9;
const LARGE_WAIT_FACTOR: u64 = 4;
const LARGE_COMPILE_MEMORY_FACTOR: u64 = 3;

/// Threads that compile a large component: more would each want address space.
const THREADS: u32 = 4;

/// The pause between two looks at the process: an upload takes 50 ms and more.
const POLL: Duration = Duration::from_millis(5);

const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
const SIGXCPU: i32 = 24;

/// The program that compiles uploads in a process of its own, and the limits of the process.
#[derive(Clone, Debug)]
pub struct CompileCheck {
    program: PathBuf,
    command: String,
    seconds: u64,
    mib: u64,
    /// One process of each class at a time, so that many uploads take no more memory than one.
    turns: Arc<[Mutex<()>; 2]>,
}

/// The right to start a process, until this is dropped.
#[derive(Debug)]
pub struct CompileTurn<'a>(#[expect(dead_code, reason = "held, not read")] MutexGuard<'a, ()>);

impl CompileCheck {
    /// A check whose process is `program command`. It must call [`compile_check`] with the arguments that
    /// follow.
    pub fn new(program: impl Into<PathBuf>, command: &str) -> Self {
        let (program, command) = (program.into(), command.to_string());
        let (seconds, mib) = (COMPILE_CPU_SECONDS, COMPILE_MEMORY_MIB);
        Self { program, command, seconds, mib, turns: Arc::default() }
    }

    /// Returns the same check with other limits.
    pub fn with_limits(self, seconds: u64, mib: u64) -> Self {
        Self { seconds, mib, ..self }
    }

    /// Waits until a component of `bytes` bytes may be compiled, at most as long as one compilation may
    /// take. Asks `is_given_up` again and again, which ends the wait.
    pub fn turn(
        &self,
        bytes: usize,
        is_given_up: &dyn Fn() -> bool,
    ) -> Result<CompileTurn<'_>, CompileError> {
        let class = Class::of(bytes);
        let until = Instant::now() + self.of(class).wait_max(class);
        loop {
            match self.turns[class as usize].try_lock() {
                Ok(turn) => return Ok(CompileTurn(turn)),
                Err(TryLockError::Poisoned(turn)) => return Ok(CompileTurn(turn.into_inner())),
                Err(TryLockError::WouldBlock) if is_given_up() => return GivenUpSnafu.fail(),
                Err(TryLockError::WouldBlock) if Instant::now() >= until => {
                    return BusySnafu.fail();
                }
                Err(TryLockError::WouldBlock) => thread::sleep(POLL),
            }
        }
    }

    /// Compiles `component` and keeps the code in folder `keep`; blocks until that is done. Asks
    /// `is_given_up` again and again, which ends it. The process may take twice the CPU time allowed (for
    /// a large component four times), because the machine does other things too; a client waits longer.
    pub fn run(
        &self,
        _turn: &CompileTurn<'_>,
        level: Level,
        component: &[u8],
        keep: Option<&Path>,
        is_given_up: &dyn Fn() -> bool,
    ) -> Result<(), CompileError> {
        let class = Class::of(component.len());
        let this = self.of(class);
        let command = this.command(level, keep);
        let mut process = Process::start(command, component).context(StartSnafu)?;
        let until = Instant::now() + this.wait_max(class);
        let status = loop {
            if let Some(status) = process.child.try_wait().context(StartSnafu)? {
                break status;
            }
            if is_given_up() {
                return GivenUpSnafu.fail();
            }
            if Instant::now() >= until {
                return TooSlowSnafu { seconds: this.seconds }.fail();
            }
            thread::sleep(POLL);
        };
        this.verdict(status, &mut process)
    }

    /// Returns the time that a process of a class may take, if these are its limits.
    fn wait_max(&self, class: Class) -> Duration {
        let factor = if class == Class::Large { LARGE_WAIT_FACTOR } else { WAIT_FACTOR };
        Duration::from_secs(factor * self.seconds).max(WAIT_MIN)
    }

    /// Returns the check with the limits of a class.
    fn of(&self, class: Class) -> Self {
        match class {
            Class::Small => self.clone(),
            Class::Large => {
                let seconds = LARGE_COMPILE_TIME_FACTOR * self.seconds;
                self.clone().with_limits(seconds, LARGE_COMPILE_MEMORY_FACTOR * self.mib)
            }
        }
    }

    /// Returns the command that starts a process with these limits.
    fn command(&self, level: Level, keep: Option<&Path>) -> Command {
        let level = if level == Level::Speed { "speed" } else { "none" };
        let mut command = Command::new(&self.program);
        command.args([&self.command, level]).args([self.seconds, self.mib].map(|n| n.to_string()));
        // The process starts in another folder.
        command.args(keep.and_then(|keep| std::path::absolute(keep).ok()));
        // The process gets neither folder nor environment of the node. The node's files close at its start.
        command.env_clear().current_dir("/");
        command.env("RAYON_NUM_THREADS", THREADS.to_string());
        // Otherwise mimalloc takes a GiB of address space at the start, which is the whole limit.
        command.env("MIMALLOC_ARENA_RESERVE", ALLOCATED_AT_ONCE_KIB.to_string());
        command
    }

    /// Returns the answer that the status of a process means.
    fn verdict(&self, status: ExitStatus, process: &mut Process) -> Result<(), CompileError> {
        use std::os::unix::process::ExitStatusExt;
        if status.success() {
            return Ok(());
        }
        match (status.code(), status.signal()) {
            (Some(code), _) if code == i32::from(EXIT_UNFIT) => {
                UnfitSnafu { reason: process.reason() }.fail()
            }
            (Some(code), _) if code == i32::from(EXIT_TOO_LARGE) => {
                TooLargeSnafu { mib: self.mib }.fail()
            }
            (_, Some(SIGXCPU | SIGKILL)) => TooSlowSnafu { seconds: self.seconds }.fail(),
            // Rust aborts when it gets no memory.
            (_, Some(SIGABRT)) => TooLargeSnafu { mib: self.mib }.fail(),
            _ => CrashedSnafu { status }.fail(),
        }
    }
}
