//! Tries to compile a component in a process of its own, before anything is proposed.
//!
//! A component within every limit of the upload check can still take minutes or gigabytes to compile.
//! The process that tries it sets limits on itself (CPU time, address space), so that such a component
//! is refused and the node that asked goes on serving. The verdict depends on the machine: it decides
//! only whether the leader proposes an upload, never what an entry does.
//!
//! ```text
//! node                                   aspen compile-check LEVEL SECONDS MIB [FOLDER]
//!   8 bytes of length, the component  ->   sets its limits, reads, compiles, keeps the code in FOLDER
//!   (holds the pipe open)                  ends by itself when the pipe closes: no orphans
//!   waits, but not for ever           <-   exit code; a reason on its output if it cannot run
//! ```
//!
//! Promises that the process is gone and waited for when [`CompileCheck::run`] returns, whatever
//! happens, and that it inherits no file or socket of the node's but three pipes.
//! The code that it keeps is code of this program on this machine, which the node loads as its own.
//! Leaves out where the program comes from: whoever starts a node says so, or no process is used.

use std::any::Any;
use std::io::{self, Read, Write};
use std::panic::{catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use aspen_core::limits::LARGE_COMPONENT_BYTES_MAX;
use aspen_core::{ComponentHash, Fault};
use rustix::process::{Resource, Rlimit, nice, setrlimit};
use snafu::{ResultExt, Snafu};
use wasmtime::{Engine, OutOfMemory};

use crate::class::Class;
use crate::compile::store;
use crate::functions::Level;
use crate::instrument;
use crate::profile::config_to_compile;

/// Address space that the program's allocator takes at once, KiB.
const ALLOCATED_AT_ONCE_KIB: u64 = 32 << 10;

/// CPU time that compiling one component may take. The largest real guests take 3 s.
pub const COMPILE_CPU_SECONDS: u64 = 10;

/// Memory that compiling one component may take, the program itself included: 1 GiB. Real guests
/// take less than a tenth.
pub const COMPILE_MEMORY_MIB: u64 = 1024;

/// How long the process may take in all, in times of its CPU time, for machines that do other things. A
/// client waits longer.
const WAIT_FACTOR: u64 = 2;

/// At least so long: a process has to be started, too.
const WAIT_MIN: Duration = Duration::from_secs(WAIT_FACTOR * COMPILE_CPU_SECONDS);

/// A large component may take so many times the CPU time and the memory: 90 s and 3 GiB. JavaScript and
/// Python take some 20 s of an optimised build. It gets six minutes for it, as it lets all others go first.
const LARGE_TIME_FACTOR: u64 = 9;
const LARGE_WAIT_FACTOR: u64 = 4;
const LARGE_MEMORY_FACTOR: u64 = 3;

/// Threads that compile a large component: more would each want address space.
const THREADS: u32 = 4;

/// How often whoever waits for the process looks: an upload takes 50 ms and more.
const POLL: Duration = Duration::from_millis(5);

/// Bytes of the reason why a component cannot run.
const REASON_BYTES_MAX: u64 = 1024;

/// What the process ends with if the component cannot run.
const EXIT_UNFIT: u8 = 3;

/// What it ends with if the compiler says that it got no memory; Rust's own allocations abort.
const EXIT_TOO_LARGE: u8 = 4;

const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
const SIGXCPU: i32 = 24;

/// Why an upload is not proposed, though it passes the upload check.
#[derive(Debug, Snafu)]
pub enum CompileError {
    /// It takes too long.
    #[snafu(display("component takes more than {seconds} s to compile"))]
    TooSlow {
        /// CPU time allowed.
        seconds: u64,
    },
    /// It takes too much memory.
    #[snafu(display("component takes more than {mib} MiB of memory to compile"))]
    TooLarge {
        /// Memory allowed.
        mib: u64,
    },
    /// The compiler refuses it.
    #[snafu(display("component cannot be compiled: {reason}"))]
    Unfit {
        /// What the compiler says.
        reason: String,
    },
    /// The compiler crashed on it.
    #[snafu(display("the compiler failed on the component ({status})"))]
    Crashed {
        /// How the process ended.
        status: ExitStatus,
    },
    /// Other uploads are being compiled; it may be tried again.
    #[snafu(display("the node is busy compiling other components, try again"))]
    Busy,
    /// Nobody waits for the answer any more.
    #[snafu(display("the upload was given up"))]
    GivenUp,
    /// The process cannot be started; it may be tried again.
    #[snafu(display("cannot start a process to compile in: {source}"))]
    Start {
        /// What the system says.
        source: io::Error,
    },
    /// This machine failed.
    #[snafu(display("{source}"), context(false))]
    Machine {
        /// How.
        source: Fault,
    },
}

/// How to start the process, and its limits.
#[derive(Clone, Debug)]
pub struct CompileCheck {
    program: PathBuf,
    command: String,
    seconds: u64,
    mib: u64,
    /// One process of each class at a time, so that many uploads take no more memory than one.
    turns: Arc<[Mutex<()>; 2]>,
}

/// Leave to start a process, until this is dropped.
#[derive(Debug)]
pub struct CompileTurn<'a>(#[expect(dead_code, reason = "held, not read")] MutexGuard<'a, ()>);

impl CompileCheck {
    /// `program command` must call [`compile_check`] with the arguments that follow.
    pub fn new(program: impl Into<PathBuf>, command: &str) -> Self {
        let (program, command) = (program.into(), command.to_string());
        let (seconds, mib) = (COMPILE_CPU_SECONDS, COMPILE_MEMORY_MIB);
        Self { program, command, seconds, mib, turns: Arc::default() }
    }

    /// The same with other limits.
    pub fn with_limits(self, seconds: u64, mib: u64) -> Self {
        Self { seconds, mib, ..self }
    }

    /// Waits until a component of so many bytes may be compiled, as long as compiling one may take all in
    /// all. `is_given_up` is asked again and again, and ends it.
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

    /// Compiles `component` and keeps the code in folder `keep`; blocks until that is done. `is_given_up`
    /// is asked again and again, and ends it. All in all it may take twice the CPU time allowed (a large
    /// component four times), for machines that do other things; a client waits longer.
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

    /// How long a process of that class may take, if these are its limits.
    fn wait_max(&self, class: Class) -> Duration {
        let factor = if class == Class::Large { LARGE_WAIT_FACTOR } else { WAIT_FACTOR };
        Duration::from_secs(factor * self.seconds).max(WAIT_MIN)
    }

    /// With the limits of a class.
    fn of(&self, class: Class) -> Self {
        match class {
            Class::Small => self.clone(),
            Class::Large => {
                let seconds = LARGE_TIME_FACTOR * self.seconds;
                self.clone().with_limits(seconds, LARGE_MEMORY_FACTOR * self.mib)
            }
        }
    }

    fn command(&self, level: Level, keep: Option<&Path>) -> Command {
        let level = if level == Level::Speed { "speed" } else { "none" };
        let mut command = Command::new(&self.program);
        command.args([&self.command, level]).args([self.seconds, self.mib].map(|n| n.to_string()));
        // The process starts in another folder.
        command.args(keep.and_then(|keep| std::path::absolute(keep).ok()));
        // Neither folder nor environment of the node; its files close when a program starts.
        command.env_clear().current_dir("/");
        command.env("RAYON_NUM_THREADS", THREADS.to_string());
        // Else mimalloc takes a GiB of address space when the program starts, which is all there may be.
        command.env("MIMALLOC_ARENA_RESERVE", ALLOCATED_AT_ONCE_KIB.to_string());
        command
    }

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
            // What Rust does when it gets no memory.
            (_, Some(SIGABRT)) => TooLargeSnafu { mib: self.mib }.fail(),
            _ => CrashedSnafu { status }.fail(),
        }
    }
}

/// The running process; killed and waited for when dropped.
struct Process {
    child: Child,
    /// Writes the component, then holds the pipe.
    writer: Option<JoinHandle<Option<ChildStdin>>>,
}

impl Process {
    fn start(mut command: Command, component: &[u8]) -> io::Result<Process> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = command.spawn()?;
        let mut process = Process { child, writer: None };
        let stdin = process.child.stdin.take();
        let message = [&(component.len() as u64).to_le_bytes()[..], component].concat();
        let write = move || {
            let mut stdin = stdin?;
            // Fails when the process is gone, which shows in its status.
            stdin.write_all(&message).ok().map(|()| stdin)
        };
        let thread = thread::Builder::new().name("aspen-upload".into());
        process.writer = Some(thread.spawn(write)?);
        Ok(process)
    }

    /// What a process that has ended wrote.
    fn reason(&mut self) -> String {
        let mut reason = vec![];
        if let Some(stdout) = self.child.stdout.take() {
            // Cut short is better than nothing.
            let _ = stdout.take(REASON_BYTES_MAX).read_to_end(&mut reason);
        }
        String::from_utf8_lossy(&reason).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(writer) = self.writer.take() {
            // Its pipe has no other end any more, so it does not wait.
            let _ = writer.join();
        }
    }
}

/// The process's own part: sets its limits, reads a component from its standard input and compiles
/// it. `level` is `speed` or `none`; the code goes to folder `keep`.
pub fn compile_check(level: &str, seconds: u64, mib: u64, keep: Option<&Path>) -> ExitCode {
    let checked = limit(seconds, mib).and_then(|()| read());
    let Ok(component) = checked else { return ExitCode::FAILURE };
    if end_with_the_pipe().is_err() {
        return ExitCode::FAILURE;
    }
    let level = if level == "speed" { Level::Speed } else { Level::None };
    match catch_unwind(|| try_compile(level, &component, keep)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(Failed::NoMemory)) => ExitCode::from(EXIT_TOO_LARGE),
        Err(panic) if is_without_memory(&*panic) => ExitCode::from(EXIT_TOO_LARGE),
        Err(panic) => resume_unwind(panic),
        Ok(Err(Failed::Unfit(mut reason))) => {
            reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX as usize));
            // Nobody need listen.
            let _ = io::stdout().write_all(reason.as_bytes());
            ExitCode::from(EXIT_UNFIT)
        }
    }
}

/// Whether a panic is that of an allocator, as bumpalo's and wasmtime's: which of the compiler's
/// allocations fails first is chance.
fn is_without_memory(panic: &(dyn Any + Send)) -> bool {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.is_some_and(|text| text.contains("out of memory") || text.contains("out-of-memory"))
}

/// Sets limits that cannot be raised again, and lets everything else on the machine go first.
fn limit(seconds: u64, mib: u64) -> io::Result<()> {
    let at_most = |soft: u64, hard: u64| Rlimit { current: Some(soft), maximum: Some(hard) };
    // A second later the system kills it, should it not end at the first signal.
    setrlimit(Resource::Cpu, at_most(seconds, seconds + 1))?;
    setrlimit(Resource::As, at_most(mib << 20, mib << 20))?;
    setrlimit(Resource::Core, at_most(0, 0))?;
    nice(10)?;
    Ok(())
}

fn read() -> io::Result<Vec<u8>> {
    let mut stdin = io::stdin().lock();
    let mut length = [0; 8];
    stdin.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length).min(LARGE_COMPONENT_BYTES_MAX as u64);
    let mut component = vec![0; length as usize];
    stdin.read_exact(&mut component)?;
    Ok(component)
}

/// Ends the process when the other end of its standard input is gone.
fn end_with_the_pipe() -> io::Result<()> {
    let watch = || {
        // Nothing follows the component: this returns when the pipe is closed.
        let _ = io::stdin().lock().read(&mut [0]);
        std::process::exit(1);
    };
    thread::Builder::new().stack_size(64 << 10).spawn(watch).map(drop)
}

/// Why there is no code.
enum Failed {
    Unfit(String),
    NoMemory,
}

fn try_compile(level: Level, component: &[u8], keep: Option<&Path>) -> Result<(), Failed> {
    let instrumented = instrument::component(component);
    let instrumented = instrumented.map_err(|error| Failed::Unfit(error.to_string()))?;
    let class = Class::of(component.len());
    let config = config_to_compile(class, level.of(class));
    let engine = Engine::new(&config).map_err(|error| Failed::Unfit(error.to_string()))?;
    match engine.precompile_component(&instrumented) {
        Ok(code) => {
            if let Some(keep) = keep {
                store(&engine, keep, &ComponentHash::of(component), &code);
            }
            Ok(())
        }
        Err(error) if error.is::<OutOfMemory>() => Err(Failed::NoMemory),
        Err(error) => Err(Failed::Unfit(format!("{error:#}"))),
    }
}
