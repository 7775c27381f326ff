//! The main job, shown on real input: `make demo`.
//!
//! Starts three `aspen node` processes on this machine, builds and uploads the function
//! `examples/purchases`, replays 69,659 real purchases as calls of it, kills the leader's process
//! in the middle and starts it again, and compares the data of the cluster with a plain sum over
//! the file, to the cent. Ends with an error if anything differs.

mod check;
mod cluster;
mod failure;
mod purchases;
mod replay;

use std::path::PathBuf;
use std::process::ExitCode;

use aspen_client::Client;
use clap::Parser;
use tokio_real as tokio;

use crate::failure::Failure;

/// The main job, shown on real input.
#[derive(Debug, Parser)]
struct Options {
    /// The aspen binary [default: in the folder of this program]
    #[arg(long)]
    aspen: Option<PathBuf>,
    /// The function's crate.
    #[arg(long, default_value = "examples/purchases")]
    function: PathBuf,
    /// The purchases.
    #[arg(long, default_value = "examples/purchases/purchases.csv")]
    input: PathBuf,
    /// Calls in flight at the same time.
    #[arg(long, default_value_t = 256)]
    in_flight: usize,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(run(options)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Failure> {
    let Options { aspen, function, input, in_flight } = options;
    let next_to_this = || Ok::<_, Failure>(std::env::current_exe()?.with_file_name("aspen"));
    let aspen = aspen.map_or_else(next_to_this, Ok)?;
    let purchases = purchases::read(&input)?;
    println!("input     {} purchases of {}", purchases.len(), input.display());

    let built = aspen::build::build(&function, &aspen::build::BuildOptions::default())?;
    println!("function  {} bytes, built from {}", built.component.len(), function.display());

    let folder = tempfile::tempdir()?;
    let mut cluster = cluster::Cluster::start(&aspen, folder.path(), 3).await?;
    let client = Client::connect(&cluster.ticket()?).await?;
    cluster::wait_for_nodes(&client, 3).await?;
    println!("cluster   3 nodes, 3 processes, in {}", folder.path().display());
    let hash = client.upload("purchases", built.component).await?;
    println!("upload    purchases is {}", &hash.to_string()[..16]);

    let report = replay::replay(&client, &mut cluster, purchases.clone(), in_flight).await?;
    check::check(&client, &purchases).await?;
    let digest = cluster::wait_for_equal_replicas(&client, 3).await?;
    println!("\nreplicas  3 of 3 have digest {digest}");
    report.print(purchases.len());
    println!("\nEvery purchase was counted exactly once. Done.");
    client.close().await;
    cluster.stop().await
}
