//! Printing: lines, bytes, sizes, times, and records as JSON.

use std::io::Write;

use aspen_client::{Key, Record, Timestamp, wave};
use aspen_core::val::decode_vals;
use bytes::Bytes;
use serde_json::{Value as Json, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::failure::Failure;

/// Prints a line.
pub fn say(line: &str) -> Result<(), Failure> {
    print_bytes(format!("{line}\n").as_bytes())
}

/// Prints; a reader that closed its end (`| head`) is no failure.
pub fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    print_on(bytes).map(|_| ())
}

/// Prints; returns false if the reader closed its end and wants no more.
pub fn print_on(bytes: &[u8]) -> Result<bool, Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::Refused { message: format!("cannot print: {error}") }),
    }
}

/// Returns a number of bytes as text, in the largest unit that leaves three digits or more.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} kB", bytes / 1000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

/// Returns a time as date and time in UTC, RFC 3339; as milliseconds since 1970 if it is out of range.
pub fn time(time: Timestamp) -> String {
    let seconds = i64::try_from(time.get() / 1000).ok();
    let time_of =
        |seconds| OffsetDateTime::from_unix_timestamp(seconds).ok()?.format(&Rfc3339).ok();
    seconds.and_then(time_of).unwrap_or_else(|| format!("{} ms", time.get()))
}

/// Returns encoded values as WAVE.
pub fn vals(bytes: &Bytes) -> String {
    match decode_vals(bytes) {
        Ok(vals) => vals.iter().map(wave::print).collect::<Vec<_>>().join(", "),
        Err(error) => format!("({error})"),
    }
}

/// Returns text as JSON text, and bytes that are no text as `{"hex": "..."}`.
pub fn bytes_json(bytes: &[u8]) -> Json {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({ "hex": hex })
        }
    }
}

/// Returns a key and its record as JSON.
pub fn record_json(key: &Key, record: &Record) -> Json {
    json!({
        "key": bytes_json(key.as_bytes()),
        "value": bytes_json(record.value.as_bytes()),
        "version": record.version.get(),
        "create_revision": record.create_revision.get(),
        "mod_revision": record.mod_revision.get(),
        "lease": record.lease.get(),
    })
}
