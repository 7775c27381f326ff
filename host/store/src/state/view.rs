//! Reading a shard's state through one SQLite connection.
//!
//! Promises the order and the content that [`aspen_core::state::Model`] has. The owner of the connection
//! holds a transaction, so that all reads are of one revision. `records.rs` writes these rows.

use std::sync::Arc;

use aspen_core::codec::decode;
use aspen_core::ids::{ComponentHash, LeaseId, Name, Revision, Version};
use aspen_core::key::{Key, KeyRange, Value};
use aspen_core::view::{Alias, Components, HostError, Record, View};
use bytes::Bytes;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};

use super::checksum::{alias_sum, compare, damaged, number, record_sum};

const GET: &str = "SELECT key, value, version, create_revision, mod_revision, lease, sum FROM record WHERE key = ?1";

/// Every key is greater than the empty one, so a range without a start begins there.
const SCANS: [[&str; 2]; 2] = [
    [
        "SELECT key, value, version, create_revision, mod_revision, lease, sum FROM record
         WHERE key >= ?1 ORDER BY key",
        "SELECT key, value, version, create_revision, mod_revision, lease, sum FROM record
         WHERE key >= ?1 ORDER BY key DESC",
    ],
    [
        "SELECT key, value, version, create_revision, mod_revision, lease, sum FROM record
         WHERE key >= ?1 AND key < ?2 ORDER BY key",
        "SELECT key, value, version, create_revision, mod_revision, lease, sum FROM record
         WHERE key >= ?1 AND key < ?2 ORDER BY key DESC",
    ],
];

/// A view through a connection.
pub struct SqliteView<'a>(pub &'a Connection);

/// A row, or SQLite's error.
type RowResult<T> = Result<T, rusqlite::Error>;

impl View for SqliteView<'_> {
    fn get(&self, key: &Key) -> Result<Option<Record>, HostError> {
        let get = || -> RowResult<Option<Record>> {
            let mut statement = self.0.prepare_cached(GET)?;
            let mut rows = statement.query([key.as_bytes()])?;
            rows.next()?.map(record).transpose()
        };
        get().map_err(|error| HostError::new("reading a key", error))
    }

    fn scan(
        &self,
        range: &KeyRange,
        reverse: bool,
        visit: &mut dyn FnMut(&[u8], Record) -> bool,
    ) -> Result<(), HostError> {
        let mut scan = || -> RowResult<()> {
            let sql = SCANS[usize::from(range.end.is_some())][usize::from(reverse)];
            let mut statement = self.0.prepare_cached(sql)?;
            let mut rows = match &range.end {
                Some(end) => statement.query((&range.start[..], &end[..]))?,
                None => statement.query([&range.start[..]])?,
            };
            while let Some(row) = rows.next()? {
                let record = record(row)?;
                if !visit(row.get_ref(0)?.as_blob()?, record) {
                    break;
                }
            }
            Ok(())
        };
        scan().map_err(|error| HostError::new("scanning keys", error))
    }

    fn components(&self) -> &dyn Components {
        self
    }
}

impl Components for SqliteView<'_> {
    fn component(&self, hash: &ComponentHash) -> Result<Option<Bytes>, HostError> {
        let get = || -> RowResult<Option<Vec<u8>>> {
            let mut statement =
                self.0.prepare_cached("SELECT bytes FROM component WHERE hash = ?1")?;
            statement.query_row([hash.as_bytes()], |row| row.get(0)).optional()
        };
        let bytes = get().map_err(|error| HostError::new("reading a component", error))?;
        match bytes.map(Bytes::from) {
            // The hash is the checksum of a component.
            Some(bytes) if ComponentHash::of(&bytes) != *hash => {
                Err(HostError::new("reading a component", "it is not what was stored"))
            }
            bytes => Ok(bytes),
        }
    }

    fn has_component(&self, hash: &ComponentHash) -> Result<bool, HostError> {
        let get = || {
            let mut statement = self.0.prepare_cached("SELECT 1 FROM component WHERE hash = ?1")?;
            statement.exists([hash.as_bytes()])
        };
        get().map_err(|error: rusqlite::Error| HostError::new("looking for a component", error))
    }

    fn alias(&self, name: &Name) -> Result<Option<Arc<Alias>>, HostError> {
        let get = || -> RowResult<Option<Arc<Alias>>> {
            let sql = "SELECT name, row, sum FROM alias WHERE name = ?1";
            let mut statement = self.0.prepare_cached(sql)?;
            let read = |row: &Row<'_>| alias(row).map(|(_, alias)| alias);
            statement.query_row([name.as_str()], read).optional()
        };
        get().map_err(|error| HostError::new("reading a name", error))
    }

    fn aliases(&self) -> Result<Vec<(Name, Arc<Alias>)>, HostError> {
        let list = || -> RowResult<Vec<(Name, Arc<Alias>)>> {
            let sql = "SELECT name, row, sum FROM alias ORDER BY name";
            let mut statement = self.0.prepare_cached(sql)?;
            let rows = statement.query_map([], alias)?;
            rows.collect()
        };
        list().map_err(|error| HostError::new("listing names", error))
    }
}

/// Reads a row of [`GET`] and [`SCANS`], without its key, if its checksum is right.
fn record(row: &Row<'_>) -> RowResult<Record> {
    let value = Bytes::copy_from_slice(blob(row.get_ref(1)?)?);
    let record = Record {
        value: Value::new(value).map_err(|error| damaged(1, error))?,
        version: Version::new(number(row, 2)?),
        create_revision: Revision::new(number(row, 3)?),
        mod_revision: Revision::new(number(row, 4)?),
        lease: LeaseId::new(number(row, 5)?),
    };
    compare(row, 6, &record_sum(row.get_ref(0)?.as_blob()?, &record))?;
    Ok(record)
}

fn blob(value: ValueRef<'_>) -> RowResult<&[u8]> {
    Ok(value.as_blob()?)
}

fn alias(row: &Row<'_>) -> RowResult<(Name, Arc<Alias>)> {
    let (name, bytes): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
    compare(row, 2, &alias_sum(&name, &bytes))?;
    let alias = decode(&bytes).map_err(|error| damaged(1, error))?;
    Ok((Name::new(name).map_err(|error| damaged(0, error))?, Arc::new(alias)))
}
