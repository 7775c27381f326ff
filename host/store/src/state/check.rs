//! The search for damage in a whole state, after a stop that was not clean.

use aspen_core::ids::ComponentHash;
use aspen_core::key::KeyRange;
use aspen_core::view::{Components, HostError, View};
use rusqlite::Connection;

use super::error::{CheckSnafu, StateFileError};
use super::view::SqliteView;

/// Looks for damaged pages and rows: reads the whole file.
pub fn check(db: &Connection) -> Result<(), StateFileError> {
    // Also compares indexes with their tables, which a quick check does not.
    let report: String = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if report != "ok" {
        return CheckSnafu { report }.fail();
    }
    let view = SqliteView(db);
    let rows = view.scan(&KeyRange::all(), false, &mut |_, _| true);
    let others = || view.aliases().and_then(|_| check_components(db));
    rows.and_then(|()| others()).map_err(|fault| StateFileError::of_row(&fault))
}

/// Reads every component, and so compares it with its hash.
fn check_components(db: &Connection) -> Result<(), HostError> {
    let hashes = || -> Result<Vec<ComponentHash>, rusqlite::Error> {
        let mut statement = db.prepare("SELECT hash FROM component ORDER BY hash")?;
        let rows = statement.query_map([], |row| Ok(ComponentHash::new(row.get(0)?)))?;
        rows.collect()
    };
    let hashes = hashes().map_err(|error| HostError::new("listing components", error))?;
    hashes.iter().try_for_each(|hash| SqliteView(db).component(hash).map(|_| ()))
}
