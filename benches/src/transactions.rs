//! Transactions on three nodes: read, then commit if nothing changed; and the same work as a
//! function, without and with contention.

use std::sync::OnceLock;
use std::time::Duration;

use aspen_client::{
    Client, Consistency, Expectation, Key, Record, TransactionBuilder, TransactionOutcome, Val,
    Value, WriteCommand, WriteError,
};

use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::load::{self, Done, Work};

/// Accounts, as in the figures of other systems.
const ACCOUNTS: u64 = 100_000;

/// Skew of the contended load: the busiest account has 38% of the picks.
const ZIPF_EXPONENT: f64 = 1.5;

fn account(n: u64) -> String {
    format!("account/{n:08}")
}

/// Two different accounts, uniform.
fn uniform(n: u64) -> (u64, u64) {
    let from = load::spread(n) % ACCOUNTS;
    (from, (from + 1 + load::spread(n + (1 << 40)) % (ACCOUNTS - 1)) % ACCOUNTS)
}

/// Two different accounts, each drawn by Zipf's law.
fn skewed(n: u64) -> (u64, u64) {
    let from = zipf(load::spread(2 * n));
    let to = zipf(load::spread(2 * n + 1));
    if from == to { (from, (to + 1) % ACCOUNTS) } else { (from, to) }
}

/// Account `k` with probability proportional to (k + 1)^-1.5, by inversion of the cumulated sum.
fn zipf(random: u64) -> u64 {
    static CUMULATED: OnceLock<Vec<f64>> = OnceLock::new();
    let cumulated = CUMULATED.get_or_init(|| {
        let mut sum = 0.0;
        let next = |k: u64| {
            sum += ((k + 1) as f64).powf(-ZIPF_EXPONENT);
            sum
        };
        (0..ACCOUNTS).map(next).collect()
    });
    let at = random as f64 / u64::MAX as f64 * cumulated[cumulated.len() - 1];
    (cumulated.partition_point(|sum| *sum < at) as u64).min(ACCOUNTS - 1)
}

fn balance(record: &Option<Record>) -> Result<u64, Failure> {
    let record = record.as_ref().ok_or("the account is there")?;
    Ok(u64::from_le_bytes(record.value.as_bytes().try_into()?))
}

/// Reads both accounts, then commits if neither changed, until it does. A conflict brings the
/// present balances, so only the first attempt reads.
async fn optimistic(client: Client, (from, to): (u64, u64)) -> Result<(), Failure> {
    let keys = [account(from), account(to)];
    let read = client.read(&keys, Consistency::Linearizable).await?;
    let mut seen = read.records;
    loop {
        let transfer = client.transaction().read(&keys[0], &seen[0]).read(&keys[1], &seen[1]);
        let left = balance(&seen[0])?.wrapping_sub(1).to_le_bytes();
        let right = balance(&seen[1])?.wrapping_add(1).to_le_bytes();
        let transfer = transfer.write(&keys[0], left).write(&keys[1], right);
        let TransactionOutcome::Conflict { keys: changed, .. } = transfer.commit().await? else {
            return Ok(());
        };
        for conflict in changed {
            let is_from = conflict.key.as_bytes() == keys[0].as_bytes();
            seen[usize::from(!is_from)] = conflict.record;
        }
    }
}

async fn function(client: Client, (from, to): (u64, u64)) -> Result<(), Failure> {
    let name = |n: u64| Val::from(format!("{n:08}"));
    client.call("bank", "transfer", "account", &[name(from), name(to), 1u64.into()]).await?;
    Ok(())
}

/// Does the work of [`swap`] as a transaction.
fn compare_and_swap(client: Client, n: u64) -> Done {
    Box::pin(async move {
        let key = account(load::spread(n) % ACCOUNTS);
        let seen = client.get(&key).await?;
        let next = balance(&seen)?.wrapping_add(1).to_le_bytes();
        let value = Value::new(next.to_vec())?;
        let expected = Expectation::from(&seen);
        let key = Key::try_from(&key[..])?;
        match client.write(WriteCommand::CompareAndSwap { key, expected, value }).await {
            Ok(_) | Err(WriteError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    })
}

fn swap(client: Client, n: u64) -> Done {
    Box::pin(async move {
        let key = account(load::spread(n) % ACCOUNTS);
        let seen = client.get(&key).await?;
        let next = balance(&seen)?.wrapping_add(1).to_le_bytes();
        // Another client may have been quicker: that is an answer too, and rare here.
        client.transaction().read(&key, &seen).write(&key, next).commit().await?;
        Ok(())
    })
}

fn transact(client: Client, n: u64) -> Done {
    Box::pin(optimistic(client, uniform(n)))
}

fn contended(client: Client, n: u64) -> Done {
    Box::pin(optimistic(client, skewed(n)))
}

fn contended_call(client: Client, n: u64) -> Done {
    Box::pin(function(client, skewed(n)))
}

async fn fill(client: &Client) -> Result<(), Failure> {
    let accounts: Vec<u64> = (0..ACCOUNTS).collect();
    for part in accounts.chunks(1000) {
        let set = |t: TransactionBuilder, n: &u64| t.write(account(*n), (1u64 << 40).to_le_bytes());
        let transaction = part.iter().fold(TransactionBuilder::new(), set);
        client.write(transaction.build()?).await?;
    }
    Ok(())
}

/// Measures all of it.
pub fn measure(bank: &[u8], time: Duration) -> Result<(), Failure> {
    println!("\ntransactions, three nodes and the client on this machine, {ACCOUNTS} accounts");
    let folder = tempfile::tempdir_in("target")?;
    let cluster = Cluster::start(folder.path(), 3, 1)?;
    let runtime = load::client_runtime()?;
    let client = runtime.block_on(cluster.client())?;
    runtime.block_on(async {
        client.upload("bank", bank.to_vec()).await?;
        fill(&client).await
    })?;
    let one = |what: &str, work: Work, clients: usize, how: &str| {
        let client = client.clone();
        let run = async move { load::run(&client, work, clients, time).await };
        let measured = runtime.block_on(runtime.spawn(run))??;
        load::print(what, clients, how, &measured);
        Ok::<f64, Failure>(measured.rate)
    };
    let (mut transactions, mut swaps) = (0.0, 0.0);
    // In turns, so that a machine that changes its speed changes both.
    for _ in 0..2 {
        transactions += one("get, then one-key transaction", swap, 256, "uniform")?;
        swaps += one("get, then compare-and-swap", compare_and_swap, 256, "uniform")?;
    }
    println!("one-key transaction / compare-and-swap: {:.2}x", transactions / swaps);
    one("read two, then transfer", transact, 1, "uniform")?;
    one("read two, then transfer", transact, 256, "uniform")?;
    let how = "Zipf 1.5";
    let optimistic = one("read two, then transfer, contended", contended, 64, how)?;
    let function = one("transfer as a function, contended", contended_call, 64, how)?;
    println!("function / optimistic transaction under contention: {:.1}x", function / optimistic);
    runtime.block_on(client.close());
    cluster.stop();
    Ok(())
}
