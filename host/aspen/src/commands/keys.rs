//! Commands about keys: put, get, delete, scan.

use std::io::Read;

use aspen_client::{
    Client, Consistency, Expiry, Item, Key, KeyRange, ScanOptions, ScanToken, stale,
};
use aspen_core::LeaseId;
use serde_json::json;

use crate::cli::{Get, Put, Scan};
use crate::commands::print::{print_bytes, print_on, record_json, say};
use crate::failure::Failure;

/// `aspen put`
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

/// `aspen get`
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

/// `aspen delete`
pub async fn delete(client: &Client, key: &str) -> Result<(), Failure> {
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

/// `aspen scan`: prints while it reads, until enough is printed, the range is through, or nobody reads
/// the output any more.
pub async fn scan(client: &Client, options: &Scan) -> Result<(), Failure> {
    let Scan { limit, reverse, keys_only, consistent, .. } = *options;
    let consistency = options.stale.map_or(Consistency::Linearizable, stale);
    let scan = ScanOptions { reverse, keys_only, limit, consistency, consistent };
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
