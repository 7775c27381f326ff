//! The reads, writes and log lines of a function that ran without effect, as text and as JSON.

use aspen_client::{DryRun, WriteOp};
use serde_json::{Value as Json, json};

use crate::failure::Failure;
use crate::print::{bytes_json, say};

/// Prints them, a line each.
pub fn say_did(did: &DryRun) -> Result<(), Failure> {
    let DryRun { reads, more_reads, writes, log } = did;
    for (key, version) in reads {
        match version.get() {
            0 => say(&format!("read    {key}: absent"))?,
            version => say(&format!("read    {key}: version {version}"))?,
        }
    }
    if *more_reads > 0 {
        say(&format!("read    {more_reads} times further keys"))?;
    }
    for write in writes {
        say(&match write {
            WriteOp::Set { key, value, .. } => {
                format!("set     {key} to {}", value.as_bytes().escape_ascii())
            }
            WriteOp::Delete { key } => format!("delete  {key}"),
            WriteOp::Expire { key, .. } => format!("expire  {key}"),
        })?;
    }
    log.iter().try_for_each(|line| say(&format!("log     {line}")))
}

/// Returns them as JSON.
pub fn did_json(did: &DryRun) -> Json {
    let reads = did.reads.iter().map(
        |(key, version)| json!({ "key": bytes_json(key.as_bytes()), "version": version.get() }),
    );
    let reads: Vec<Json> = reads.collect();
    let writes: Vec<Json> = did.writes.iter().map(write_json).collect();
    json!({ "reads": reads, "more_reads": did.more_reads, "writes": writes, "log": did.log })
}

fn write_json(write: &WriteOp) -> Json {
    let key = bytes_json(write.key().as_bytes());
    match write {
        WriteOp::Set { value, .. } => json!({ "set": key, "value": bytes_json(value.as_bytes()) }),
        WriteOp::Delete { .. } => json!({ "delete": key }),
        WriteOp::Expire { .. } => json!({ "expire": key }),
    }
}
