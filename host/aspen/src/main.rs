//! The `aspen` binary: reads the command line, runs the command, gives the exit code.

use std::io::Write;
use std::process::ExitCode;

use aspen::cli::{Build, Cli, Command, Dev, Node};
use aspen::failure::Failure;
use aspen::server::{Server, ServerError};
use aspen::{build, client_gen, commands, dev, join, scaffold, server};
use aspen_core::limits::{REPLICATION_FACTOR_DEFAULT, SHARDS_DEFAULT};
use aspen_functions::CompileCheck;
use aspen_node::Timing;
use clap::Parser;
use tokio_real as tokio;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Command::CompileCheck { level, seconds, mib, keep } = &cli.command {
        return aspen_functions::compile_check(level, *seconds, *mib, keep.as_deref());
    }
    let filter = tracing_subscriber::EnvFilter::try_from_env("ASPEN_LOG")
        // A request that a stopping replica did not take is no error of the process.
        .unwrap_or_else(|_| {
            tracing_subscriber::EnvFilter::new("error,openraft::raft::raft_inner=off")
        });
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(run(&cli)),
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

async fn run(cli: &Cli) -> Result<(), Failure> {
    match &cli.command {
        Command::Dev(options) => run_dev(options).await,
        Command::Node(options) => run_node(options).await,
        Command::New { name } => scaffold::create(name),
        Command::Build(options) => run_build(options),
        Command::Replay { shard, index, data, json } => {
            commands::replay(data, *shard, *index, *json)
        }
        // From what is uploaded it needs a client.
        Command::ClientGen(options) if options.uploaded.is_none() => client_gen::run(options),
        _ => commands::run(cli).await,
    }
}

/// Uploads are tried in a process of this same program. Linux finds it also when its file was replaced.
fn compile_apart() {
    let linux = std::path::PathBuf::from("/proc/self/exe");
    let program = if linux.exists() { Ok(linux) } else { std::env::current_exe() };
    match program {
        Ok(program) => server::compile_apart(CompileCheck::new(program, "compile-check")),
        Err(error) => tracing::warn!(%error, "uploads are compiled in this process"),
    }
}

async fn run_dev(options: &Dev) -> Result<(), Failure> {
    compile_apart();
    let Dev { dir, nodes, shards, replicas } = options;
    let cluster = dev::DevCluster::start(dir, *nodes, *shards, *replicas, Timing::default());
    let cluster = cluster.await;
    let cluster = cluster.map_err(refused)?;
    let first = cluster.servers().first();
    let shards = first.map_or(0, |server| server.node().router().shards());
    ready(&format!(
        "ready {} ({} nodes, {shards} shards)",
        cluster.ticket().display(),
        cluster.servers().len()
    ));
    stop_signal().await;
    cluster.stop().await;
    Ok(())
}

async fn run_node(options: &Node) -> Result<(), Failure> {
    compile_apart();
    let Node { data, init, join, listen, shards, replicas } = options;
    let started = match (init, join) {
        (true, _) => {
            let shards = shards.unwrap_or(SHARDS_DEFAULT);
            let factor = replicas.unwrap_or(REPLICATION_FACTOR_DEFAULT);
            join::init(data, *listen, shards, factor).await
        }
        (false, Some(ticket)) => join::join(data, *listen, &commands::read_ticket(ticket)?).await,
        (false, None) => join::restart(data, *shards).await,
    };
    serve_until_stopped(started.map_err(refused)?, data).await
}

async fn serve_until_stopped(server: Server, data: &std::path::Path) -> Result<(), Failure> {
    let path = data.join("ticket");
    let id = server.node().id();
    ready(&format!("ready {} (node {id} at {})", path.display(), server.address().addr));
    let removed = async {
        server.node().removed().await;
        eprintln!("node {id} is no longer a member of its cluster; it can be stopped");
        std::future::pending().await
    };
    tokio::select! {
        () = removed => {}
        () = stop_signal() => {}
    }
    server.stop().await;
    Ok(())
}

fn run_build(options: &Build) -> Result<(), Failure> {
    let Build { dir, output } = options;
    let message = |error: &dyn std::fmt::Display| Failure::Refused { message: error.to_string() };
    let (component, usual) = if dir.is_file() {
        let component = build::componentize(dir).map_err(|e| message(&e))?;
        (component, dir.with_extension("component.wasm"))
    } else {
        let built = build::build(dir, &build::BuildOptions::default()).map_err(|e| message(&e))?;
        (built.component, dir.join(file_name(&built.path)))
    };
    let output = output.as_ref().unwrap_or(&usual);
    std::fs::write(output, &component)
        .map_err(|error| message(&format!("cannot write {}: {error}", output.display())))?;
    println!("{} ({} bytes)", output.display(), component.len());
    Ok(())
}

/// `NAME.component.wasm` of the target folder as `NAME.wasm`.
fn file_name(built: &std::path::Path) -> String {
    let name = built.file_name().map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_default().replace(".component.", ".")
}

fn refused(error: ServerError) -> Failure {
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

/// Says that requests are answered now. Whoever started the process may wait for this line.
fn ready(line: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody need listen.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Waits for Ctrl-C or a termination signal.
async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        // Without a handler the signal ends the process at once, which loses nothing.
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}
