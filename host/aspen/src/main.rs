//! The `aspen` binary: reads the command line, runs the command, gives the exit code.

use std::process::ExitCode;

use aspen::cli::Cli;
use aspen::failure::Failure;
use clap::Parser;
use tokio_real as tokio;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(code) = cli.run_alone() {
        return code;
    }
    let filter = tracing_subscriber::EnvFilter::try_from_env("ASPEN_LOG")
        // A request that a stopping replica did not take is no error of the process.
        .unwrap_or_else(|_| {
            tracing_subscriber::EnvFilter::new("error,openraft::raft::raft_inner=off")
        });
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(cli.run()),
        Err(error) => Err(Failure::Refused { message: format!("cannot start threads: {error}") }),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("aspen: {}", failure.message());
            ExitCode::from(failure.code())
        }
    }
}
