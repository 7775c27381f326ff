//! Parts of the commands that run nodes: compiling apart, telling that a node is ready, and waiting for
//! the end.

use std::io::Write;
use std::path::PathBuf;

use aspen_functions::CompileCheck;

use crate::failure::Failure;
use crate::server::{self, ServerError};

/// Lets uploads be compiled in a process of this same program. Linux finds the program also when its file
/// was replaced.
pub fn compile_apart() {
    let linux = PathBuf::from("/proc/self/exe");
    let program = if linux.exists() { Ok(linux) } else { std::env::current_exe() };
    match program {
        Ok(program) => server::compile_apart(CompileCheck::new(program, "compile-check")),
        Err(error) => tracing::warn!(%error, "uploads are compiled in this process"),
    }
}

/// Makes a failure of a server's error and its causes.
pub fn refused(error: ServerError) -> Failure {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        cause = error.source();
    }
    Failure::Refused { message }
}

/// Says that requests are answered from now on. The program that started the process may wait for this
/// line.
pub fn ready(line: &str) {
    let mut out = std::io::stdout().lock();
    // A closed output is no failure.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Waits for Ctrl-C or a termination signal.
pub async fn stop_signal() {
    use tokio_real::signal::{ctrl_c, unix};
    match unix::signal(unix::SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio_real::select! {
                _ = ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        // Without a handler the signal ends the process at once, which loses nothing.
        Err(_) => {
            let _ = ctrl_c().await;
        }
    }
}
