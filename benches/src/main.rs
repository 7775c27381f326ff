//! Every figure of `docs/performance.md`, measured: `make bench`.
//!
//! Each line says what was asked for, how many were in flight, on how many nodes, and whether the
//! answer waited for the disk. All of it runs on this machine, clients included, so the figures are
//! those of the whole: compare them as ratios, in one run. Nothing here is a test.

mod attack_guests;
mod attacks;
mod call;
mod cluster;
mod cpu;
mod dev;
mod failure;
mod functions;
mod idle;
mod languages;
mod load;
mod machine;
mod moving;
mod scale;
mod scan;
mod shards;
mod transactions;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::failure::Failure;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Aspen on this machine.
#[derive(Debug, Parser)]
struct Options {
    /// Seconds that each load runs.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Numbers of shards of the idle cluster [default: 1,8,256]
    #[arg(long, value_delimiter = ',')]
    shards: Option<Vec<u16>>,
    /// Writes per second while a shard moves. A rate above the machine's measures only the machine.
    #[arg(long, default_value_t = 5_000)]
    rate: u64,
    /// Only these.
    #[arg(value_enum)]
    only: Vec<Part>,
}

/// A group of figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The cost of one call in apply.
    Call,
    /// The same function in Rust, JavaScript and Python, as far as their toolchains are installed.
    Languages,
    /// Puts, gets and calls on three nodes, and where their CPU time goes.
    Cluster,
    /// Calls on one embedded node, and with two shards.
    Embedded,
    /// Transactions on three nodes, with and without contention.
    Transactions,
    /// The costs of shards, and of transactions across them.
    Shards,
    /// The time from an upload to the first call; a thousand functions; a client with bad ones.
    Functions,
    /// A shard of 1 GB moves while it is written to.
    Moving,
    /// Scans of a million keys over one shard and eight, and the memory that they take.
    Scan,
    /// The cost of one entry in apply, with 10,000 and with 10 million keys.
    Scale,
    /// An idle cluster of three nodes.
    Idle,
    /// The CPU time that hostile calls get for their fuel; only if asked for.
    Attacks,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("aspen-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    let wanted = |part| options.only.is_empty() || options.only.contains(&part);
    let time = Duration::from_secs(options.seconds);
    machine::measure()?;
    if options.only.contains(&Part::Attacks) {
        attacks::measure()?;
    }
    if options.only == [Part::Attacks] {
        return Ok(());
    }
    let build = |example: &str| {
        let built = aspen::build::build(example.as_ref(), &Default::default());
        built.map(|built| built.component)
    };
    let bank = build("examples/bank")?;
    if wanted(Part::Call) {
        call::measure(&bank, &build("examples/echo")?)?;
    }
    if wanted(Part::Languages) {
        languages::measure(&bank)?;
    }
    if wanted(Part::Embedded) {
        load::embedded(&bank, time)?;
        let (order_book, leaderboard) =
            (build("examples/order-book")?, build("examples/leaderboard")?);
        let components = shards::Components { bank: bank.clone(), order_book, leaderboard };
        shards::embedded(&components, time)?;
    }
    if wanted(Part::Cluster) {
        load::three_nodes(&bank, time)?;
    }
    if wanted(Part::Transactions) {
        transactions::measure(&bank, time)?;
    }
    if wanted(Part::Shards) {
        shards::measure(&bank, time)?;
    }
    if wanted(Part::Functions) {
        functions::measure(&bank, time)?;
    }
    if wanted(Part::Moving) {
        moving::measure(time, options.rate)?;
    }
    if wanted(Part::Scan) {
        scan::measure()?;
    }
    if wanted(Part::Scale) {
        scale::measure()?;
    }
    if wanted(Part::Idle) {
        for shards in options.shards.clone().unwrap_or(vec![1, 8, 256]) {
            idle::measure(shards)?;
        }
    }
    Ok(())
}
