//! Values of arguments as people write them: times, moments, nodes, shards.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::txn_text::parse_ms;

/// Reads a time such as `500ms`, `30s`, `5m`, `2h` or `1d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let ms = parse_ms(text).ok_or("expected a time such as 500ms, 30s, 5m, 2h or 1d")?;
    Ok(Duration::from_millis(ms))
}

/// Reads a moment in RFC 3339 as milliseconds since 1970.
pub fn moment(text: &str) -> Result<u64, String> {
    let parsed = OffsetDateTime::parse(text, &Rfc3339).ok();
    let ms = parsed.and_then(|time| u64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok());
    ms.ok_or_else(|| "expected a moment such as 2030-01-31T08:00:00Z".into())
}

/// Reads the number of a node, written `3` or `n3`.
pub fn node_number(text: &str) -> Result<u64, String> {
    let number = text.strip_prefix('n').unwrap_or(text).parse();
    number.map_err(|_| format!("{text:?} is no node: write 3 or n3"))
}

/// Reads the number of a shard, written `3` or `s3`.
pub fn shard_number(text: &str) -> Result<u16, String> {
    let number = text.strip_prefix('s').unwrap_or(text).parse();
    number.map_err(|_| format!("{text:?} is no shard: write 3 or s3"))
}
