//! The single values of a state: the rows of the table `meta`, which every state has.

use aspen_core::codec::CodecError;
use aspen_core::ids::ShardId;
use aspen_core::state::Header;
use rusqlite::{Connection, OptionalExtension, Row};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use snafu::ResultExt;

use super::checksum::{compare, sum};
use super::error::{SqliteSnafu, StateFileError};
use crate::error::Identity;
use crate::types::LogId;

/// The row with the [`Owner`].
pub const OWNER: &str = "owner";
/// The row with the [`Progress`].
pub const PROGRESS: &str = "progress";
/// The row with the members as of the last applied entry.
pub const MEMBERSHIP: &str = "membership";
/// The row with the revision up to which tombstones are forgotten.
pub const HORIZON: &str = "horizon";

/// The node and the shard whose state a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub identity: Identity,
    pub shard: ShardId,
}

/// The numbers of a state as of its last entry; they change with every batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub header: Header,
    pub applied: Option<LogId>,
}

/// Reads a row.
pub fn get<T: DeserializeOwned>(db: &Connection, name: &'static str) -> Result<T, StateFileError> {
    let mut statement = db.prepare_cached("SELECT value, sum FROM meta WHERE name = ?1")?;
    let row = |row: &Row<'_>| {
        let value: Vec<u8> = row.get(0)?;
        compare(row, 1, &sum(&[name.as_bytes(), &value], &[]))?;
        Ok(value)
    };
    let value = statement.query_row([name], row).optional()?;
    let value = value.ok_or(StateFileError::Content { what: name })?;
    aspen_core::codec::decode(&value).map_err(|source| match source {
        // The checksum is right: the row is as it was written.
        CodecError::Form { .. } => StateFileError::RowForm { source },
        _ => StateFileError::Content { what: name },
    })
}

/// Writes a row.
pub fn put<T: Serialize>(db: &Connection, name: &str, value: &T) -> Result<(), StateFileError> {
    let mut statement = db.prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2, ?3)")?;
    let value = aspen_core::codec::encode(value);
    let sum = sum(&[name.as_bytes(), &value], &[]);
    statement.execute((name, &value[..], sum)).context(SqliteSnafu)?;
    Ok(())
}
