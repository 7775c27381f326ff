//! The commands about keys: put, get, delete, scan.

use std::io::Read;
use std::time::Duration;

use aspen_client::{
    Client, Consistency, Expiry, Item, Key, KeyRange, ScanOptions, ScanToken, stale,
};
use aspen_core::ids::LeaseId;
use clap::Args;
use serde_json::json;

use crate::commands::values::duration;
use crate::failure::Failure;
use crate::print::{print_bytes, print_on, record_json, say};

/// `aspen put`
#[derive(Debug, Args)]
pub struct Put {
    /// The key.
    pub key: String,
    /// The value; `-` reads it from standard input.
    pub value: String,
    /// Remove the key again after this time: 500ms, 30s, 5m, 2h, 1d.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub ttl: Option<Duration>,
    /// Remove the key together with this lease: the number that `aspen lease grant` printed.
    #[arg(long, conflicts_with = "ttl")]
    pub lease: Option<u64>,
}

/// `aspen get`
#[derive(Debug, Args)]
pub struct Get {
    /// The key.
    pub key: String,
    /// Accept an answer of this age (such as 5s): any replica may give it.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub stale: Option<Duration>,
    /// Print value, version, revisions and lease as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `aspen delete`
#[derive(Debug, Args)]
pub struct Delete {
    /// The key.
    pub key: String,
}

/// `aspen scan`
#[derive(Debug, Args)]
pub struct Scan {
    /// Only keys that begin with this.
    #[arg(default_value = "")]
    pub prefix: String,
    /// At most this many entries; 0 means all.
    #[arg(long, default_value_t = 100)]
    pub limit: usize,
    /// From the last key to the first.
    #[arg(long)]
    pub reverse: bool,
    /// Leave the values out.
    #[arg(long)]
    pub keys_only: bool,
    /// Accept an answer of this age (such as 5s): any replica may give it.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub stale: Option<Duration>,
    /// Read everything as of one moment, on all shards: pauses writes for some milliseconds.
    /// Without this flag each page is of a moment of its own.
    #[arg(long, conflicts_with = "stale")]
    pub consistent: bool,
    /// Continue where an earlier scan ended; the token brings its prefix and direction.
    #[arg(long, conflicts_with_all = ["prefix", "reverse"])]
    pub token: Option<String>,
    /// Print one JSON object a line, with versions, revisions and lease; `{"next": TOKEN}` at the end if
    /// more entries follow.
    #[arg(long)]
    pub json: bool,
}

/// Writes a key.
pub async fn put(client: &Client, options: &Put) -> Result<(), Failure> {
    let Put { key, value, ttl, lease } = options;
    let mut bytes = value.as_bytes().to_vec();
    if value == "-" {
        bytes.clear();
        // One byte more than a value may have is enough to tell that it is too long.
        let most = aspen_core::limits::VALUE_BYTES_MAX as u64 + 1;
        let read = std::io::stdin().take(most).read_to_end(&mut bytes);
        read.map_err(|error| Failure::Usage {
            message: format!("cannot read the value: {error}"),
        })?;
    }
    let lease = lease.map(|lease| Expiry::Lease(LeaseId::new(lease)));
    let expiry = ttl.map(aspen_client::after).or(lease).unwrap_or_default();
    let written = client.put_expiring(key, bytes, expiry).await?;
    say(&format!("version {} at revision {}", written.version.get(), written.revision.get()))
}

/// Prints a value.
pub async fn get(client: &Client, options: &Get) -> Result<(), Failure> {
    let Get { key, stale: max_age, json } = options;
    let consistency = max_age.map_or(Consistency::Linearizable, stale);
    let records = client.read([key], consistency).await?.records;
    let Some(record) = records.into_iter().next().flatten() else {
        return Err(Failure::Refused { message: format!("{key}: not found") });
    };
    if *json {
        let key = Key::try_from(key.as_str())
            .map_err(|error| Failure::Usage { message: error.to_string() })?;
        return say(&record_json(&key, &record).to_string());
    }
    print_bytes(&[record.value.as_bytes(), b"\n"].concat())
}

/// Removes a key.
pub async fn delete(client: &Client, options: &Delete) -> Result<(), Failure> {
    let key = &options.key;
    let written = client.delete(key).await?;
    if written.version.get() == 0 {
        return Err(Failure::Refused { message: format!("{key}: not found") });
    }
    say(&format!(
        "deleted version {} at revision {}",
        written.version.get(),
        written.revision.get()
    ))
}

/// Prints entries while it reads, until the limit, the end of the range, or the end of the output's reader.
pub async fn scan(client: &Client, options: &Scan) -> Result<(), Failure> {
    let Scan { limit, reverse, keys_only, consistent: one_moment, .. } = *options;
    let consistency = options.stale.map_or(Consistency::Linearizable, stale);
    let scan = ScanOptions { reverse, keys_only, limit, consistency, one_moment };
    let mut scan = match options.token.as_deref().map(read_token).transpose()? {
        Some(token) => client.scan_stream_on(&token, scan).await?,
        None => client.scan_stream(range(options), scan).await?,
    };
    while let Some(items) = scan.next_page().await? {
        let lines: String = items.iter().map(|item| line(options, item) + "\n").collect();
        if !print_on(lines.as_bytes())? {
            scan.close().await;
            return Ok(());
        }
    }
    match scan.token() {
        Some(token) if options.json => say(&json!({ "next": token.to_string() }).to_string()),
        Some(token) => {
            eprintln!("(the first {limit}; --limit 0 shows all, --token goes on: {token})");
            Ok(())
        }
        None => Ok(()),
    }
}

fn range(options: &Scan) -> KeyRange {
    KeyRange::prefix(options.prefix.clone().into_bytes())
}

fn read_token(text: &str) -> Result<ScanToken, Failure> {
    text.trim().parse().map_err(|error: aspen_client::ScanTokenError| Failure::Usage {
        message: error.to_string(),
    })
}

fn line(options: &Scan, Item { key, record }: &Item) -> String {
    match (options.json, options.keys_only) {
        (true, _) => record_json(key, record).to_string(),
        (false, true) => key.to_string(),
        (false, false) => format!("{key}\t{}", record.value.as_bytes().escape_ascii()),
    }
}
