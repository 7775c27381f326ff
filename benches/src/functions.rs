//! The life of functions: the time from upload to call, the cost of a thousand functions, and
//! the effect of a client with bad ones on another client.
//!
//! Three nodes in one process of their own and the clients in this one, all on this machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aspen_client::{Client, Val};
use tokio::task::JoinSet;
use tokio_real as tokio;

use crate::dev::{Dev, megabytes};
use crate::failure::Failure;
use crate::load::{self, Done, LoadFigures};

/// Functions of the component that is uploaded: with them it has about 100 KiB.
const BODIES: usize = 400;

/// Uploads that are measured.
const UPLOADS: u64 = 7;

/// Components of the crowd: as many as there may be, but for those of the other measurements.
const CROWD: usize = 990;

/// Loops that the bad client has under way, on all shards, in addition to an upload.
const BAD_CALLS: usize = 16;

/// Uploads, a thousand functions, and a bad client.
pub fn measure(bank: &[u8], time: Duration) -> Result<(), Failure> {
    println!("\nfunctions (three nodes in a process of their own, durable)");
    let runtime = load::client_runtime()?;
    let folder = tempfile::tempdir_in("target")?;
    let dev = Dev::start(folder.path(), 8)?;
    runtime.block_on(async {
        let client = Client::connect(&dev.ticket()?).await?;
        uploads(&client).await?;
        let bad = Client::connect(&dev.ticket()?).await?;
        bad_client(&client, &bad, bank, time).await?;
        bad.close().await;
        client.close().await;
        Ok::<_, Failure>(())
    })?;
    dev.stop()?;
    let folder = tempfile::tempdir_in("target")?;
    let dev = Dev::start(folder.path(), 1)?;
    runtime.block_on(async {
        let client = Client::connect(&dev.ticket()?).await?;
        crowd(&client, &dev, bank, time).await?;
        client.close().await;
        Ok::<_, Failure>(())
    })?;
    dev.stop()
}

/// A component of about 100 KiB that does not compute the same as any other number's.
fn large(number: u64) -> Result<Vec<u8>, Failure> {
    let step = |n: usize| {
        let constant = (number << 20) + n as u64;
        format!(
            "(local.set 0 (i64.mul (i64.xor (local.get 0) (i64.const {constant})) (i64.const 31)))"
        )
    };
    let body = |n: usize| {
        let steps: String = (0..16).map(|m| step(n * 16 + m)).collect();
        format!("(func (param i64) (result i64) {steps} (local.get 0))")
    };
    let bodies: String = (0..BODIES).map(body).collect();
    let text = format!(
        r#"(component
            (core module $m {bodies}
                (func (export "run") (result i64) (call 0 (i64.const 1))))
            (core instance $i (instantiate $m))
            (func (export "run") (result u64) (canon lift (core func $i "run"))))"#
    );
    Ok(wat::parse_str(text)?)
}

/// From the upload until a call was answered by the leader of every shard, so by every node.
async fn uploads(client: &Client) -> Result<(), Failure> {
    let mut times = vec![];
    let mut bytes = 0;
    for number in 0..UPLOADS {
        let component = large(number)?;
        bytes = component.len();
        let begun = Instant::now();
        client.upload("large", component).await?;
        for n in 0..64 {
            client.call("large", "run", format!("k{n}"), &[]).await?;
        }
        times.push(begun.elapsed());
    }
    times.sort();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let [median, slowest] = [times[times.len() / 2], times[times.len() - 1]].map(ms);
    println!(
        "  {} kB uploaded and called 64 times on 8 shards of 3 nodes: median {median:.0} ms, slowest {slowest:.0} ms",
        bytes / 1000
    );
    Ok(())
}

fn transfer(client: Client, n: u64) -> Done {
    Box::pin(async move {
        let tag = format!("{{{:04}}}", load::spread(n) % 1_000);
        let args: [Val; 3] = [format!("{tag}a").into(), format!("{tag}b").into(), 0u64.into()];
        client.call("bank", "transfer", &tag, &args).await?;
        Ok(())
    })
}

/// The bank, with two accounts of each of a thousand tags.
async fn open_bank(client: &Client, bank: &[u8]) -> Result<(), Failure> {
    client.upload("bank", bank.to_vec()).await?;
    let mut tasks = JoinSet::new();
    for n in 0..2_000 {
        let (tag, side) = (format!("{{{:04}}}", n / 2), if n % 2 == 0 { "a" } else { "b" });
        let client = client.clone();
        tasks.spawn(async move {
            let args: [Val; 2] = [format!("{tag}{side}").into(), 1u64.into()];
            client.call("bank", "open", &tag, &args).await
        });
    }
    while let Some(opened) = tasks.join_next().await {
        opened??;
    }
    Ok(())
}

/// Calls endless loops, or uploads slow-to-compile components, without pause. Returns the numbers of loops
/// and uploads.
async fn be_bad(client: Client, n: usize, stop: Arc<AtomicBool>) -> (u64, u64) {
    let (mut loops, mut uploads) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        // It gets errors, and goes on.
        if n == 0 {
            uploads += 1;
            if let Ok(component) = large(1_000 + uploads) {
                let _ = client.upload("bad-large", component).await;
            }
        } else {
            loops += 1;
            let _ = client.call("loop", "run", format!("k{loops}"), &[]).await;
        }
    }
    (loops, uploads)
}

/// Measures the rate of transfers while another client works, on all shards.
async fn bad_client(
    client: &Client,
    bad: &Client,
    bank: &[u8],
    time: Duration,
) -> Result<(), Failure> {
    let endless = r#"(component
        (core module $m (func (export "run") (loop (br 0))))
        (core instance $i (instantiate $m))
        (func (export "run") (canon lift (core func $i "run"))))"#;
    client.upload("loop", wat::parse_str(endless)?).await?;
    open_bank(client, bank).await?;
    for clients in [1, 64] {
        let alone = load::run(client, transfer, clients, time).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for n in 0..=BAD_CALLS {
            tasks.spawn(be_bad(bad.clone(), n, stop.clone()));
        }
        let beside = load::run(client, transfer, clients, time).await?;
        stop.store(true, Ordering::Relaxed);
        let (mut loops, mut uploads) = (0, 0);
        while let Some(did) = tasks.join_next().await {
            let (was_loops, was_uploads) = did?;
            (loops, uploads) = (loops + was_loops, uploads + was_uploads);
        }
        let again = load::run(client, transfer, clients, time).await?;
        let share = beside.rate / ((alone.rate + again.rate) / 2.0);
        load::print("transfers on 8 shards, alone", clients, "", &alone);
        load::print("  beside a bad client", clients, "", &beside);
        println!(
            "  {share:.2} of the rate, while {loops} loops ran and {uploads} uploads of {} kB were tried",
            large(0)?.len() / 1000
        );
    }
    Ok(())
}

/// Memory and speed with a thousand functions.
async fn crowd(client: &Client, dev: &Dev, bank: &[u8], time: Duration) -> Result<(), Failure> {
    open_bank(client, bank).await?;
    let rate = async || load::run(client, transfer, 64, time).await;
    let _warm: LoadFigures = rate().await?;
    let (few, before) = (rate().await?, megabytes(dev.id(), "VmRSS").ok_or("no VmRSS")?);
    let begun = Instant::now();
    for n in 0..CROWD {
        // The bank with another hash: a custom section of four bytes at its end.
        let mut component = bank.to_vec();
        component.extend([0, 6, 1, b'n']);
        component.extend((n as u32).to_le_bytes());
        client.upload(&format!("bank-{n}"), component).await?;
    }
    let each = begun.elapsed().as_secs_f64() * 1e3 / CROWD as f64;
    for n in 0..CROWD {
        client.call(&format!("bank-{n}"), "touch", "k", &[]).await?;
    }
    let (many, after) = (rate().await?, megabytes(dev.id(), "VmRSS").ok_or("no VmRSS")?);
    println!(
        "  {CROWD} more functions of {} kB, uploaded in {each:.0} ms each and called: {:.0} MB more on each node, calls at {:.2} of the rate",
        bank.len() / 1000,
        (after - before) / 3.0,
        many.rate / few.rate,
    );
    Ok(())
}
