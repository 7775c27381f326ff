//! The process that compiles one component under limits, seen from inside.
//!
//! Promises to set its limits before it reads a byte, and to end by itself when the node is gone: the
//! pipe of its standard input then closes.

use std::any::Any;
use std::io::{self, Read, Write};
use std::panic::{catch_unwind, resume_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use aspen_core::ids::ComponentHash;
use aspen_core::limits::LARGE_COMPONENT_BYTES_MAX;
use rustix::process::{Resource, Rlimit, nice, setrlimit};
use wasmtime::{Engine, OutOfMemory};

use crate::compile::code_file;
use crate::compile::engine::Level;
use crate::instrument;
use crate::profile::class::Class;
use crate::profile::engine::config_to_compile;

/// Bytes of the reason why a component cannot run.
pub(super) const REASON_BYTES_MAX: u64 = 1024;

/// The exit code if the component cannot run.
pub(super) const EXIT_UNFIT: u8 = 3;

/// The exit code if the compiler says that it got no memory; Rust's own allocations abort.
pub(super) const EXIT_TOO_LARGE: u8 = 4;

/// The process's own part: sets its limits, reads a component from its standard input and compiles
/// the component. `level` is `speed` or `none`; the code goes to folder `keep`.
pub fn compile_check(level: &str, seconds: u64, mib: u64, keep: Option<&Path>) -> ExitCode {
    let checked = limit(seconds, mib).and_then(|()| read());
    let Ok(component) = checked else { return ExitCode::FAILURE };
    if end_with_the_pipe().is_err() {
        return ExitCode::FAILURE;
    }
    let level = if level == "speed" { Level::Speed } else { Level::None };
    match catch_unwind(|| try_compile(level, &component, keep)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(NoCode::NoMemory)) => ExitCode::from(EXIT_TOO_LARGE),
        Err(panic) if is_without_memory(&*panic) => ExitCode::from(EXIT_TOO_LARGE),
        Err(panic) => resume_unwind(panic),
        Ok(Err(NoCode::Unfit(mut reason))) => {
            reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX as usize));
            // The node may have gone meanwhile.
            let _ = io::stdout().write_all(reason.as_bytes());
            ExitCode::from(EXIT_UNFIT)
        }
    }
}

/// Returns true if a panic is that of an allocator, as bumpalo's and wasmtime's. Chance decides which of
/// the compiler's allocations fails first.
fn is_without_memory(panic: &(dyn Any + Send)) -> bool {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.is_some_and(|text| text.contains("out of memory") || text.contains("out-of-memory"))
}

/// Sets limits that cannot be raised again, and lets everything else on the machine go first.
fn limit(seconds: u64, mib: u64) -> io::Result<()> {
    let at_most = |soft: u64, hard: u64| Rlimit { current: Some(soft), maximum: Some(hard) };
    // A second later the system kills the process, if the first signal has not ended it.
    setrlimit(Resource::Cpu, at_most(seconds, seconds + 1))?;
    setrlimit(Resource::As, at_most(mib << 20, mib << 20))?;
    setrlimit(Resource::Core, at_most(0, 0))?;
    nice(10)?;
    Ok(())
}

/// Reads a component with its length in front.
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
        // Nothing follows the component: the read returns when the pipe is closed.
        let _ = io::stdin().lock().read(&mut [0]);
        std::process::exit(1);
    };
    thread::Builder::new().stack_size(64 << 10).spawn(watch).map(drop)
}

/// The reason why no code was made.
enum NoCode {
    Unfit(String),
    NoMemory,
}

fn try_compile(level: Level, component: &[u8], keep: Option<&Path>) -> Result<(), NoCode> {
    let instrumented = instrument::component(component);
    let instrumented = instrumented.map_err(|error| NoCode::Unfit(error.to_string()))?;
    let class = Class::of(component.len());
    let config = config_to_compile(class, level.of(class));
    let engine = Engine::new(&config).map_err(|error| NoCode::Unfit(error.to_string()))?;
    match engine.precompile_component(&instrumented) {
        Ok(code) => {
            if let Some(keep) = keep {
                code_file::store(&engine, keep, &ComponentHash::of(component), &code);
            }
            Ok(())
        }
        Err(error) if error.is::<OutOfMemory>() => Err(NoCode::NoMemory),
        Err(error) => Err(NoCode::Unfit(format!("{error:#}"))),
    }
}
