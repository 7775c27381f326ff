//! The checksum of a row, and the numbers of a row.
//!
//! SQLite finds pages that make no sense, but not a value that changed on the disk. So every row has
//! a checksum (`sum`), which is compared whenever the row is read: a replica stops rather than work
//! with bytes that it did not write.
//!
//! Numbers of 64 bits are stored as SQLite's signed ones, bit by bit; no query depends on the order
//! of one that may exceed 63 bits.

use std::hash::Hasher;

use aspen_core::view::Record;
use rusqlite::Row;
use seahash::SeaHasher;
use snafu::Snafu;

/// Returns a row's checksum, as SQLite stores it: seahash over its columns in their order, first those of
/// bytes, each with its length, then the numbers, all of 8 bytes little endian.
pub fn sum(blobs: &[&[u8]], numbers: &[u64]) -> i64 {
    let mut hasher = SeaHasher::default();
    for blob in blobs {
        hasher.write_u64(blob.len() as u64);
        hasher.write(blob);
    }
    numbers.iter().for_each(|number| hasher.write_u64(*number));
    hasher.finish().cast_signed()
}

/// Returns the checksum of a key's row.
pub fn record_sum(key: &[u8], record: &Record) -> i64 {
    let Record { value, version, create_revision, mod_revision, lease } = record;
    let numbers = [version.get(), create_revision.get(), mod_revision.get(), lease.get()];
    sum(&[key, value.as_bytes()], &numbers)
}

/// Returns the checksum of an alias's row.
pub fn alias_sum(name: &str, bytes: &[u8]) -> i64 {
    sum(&[name.as_bytes(), bytes], &[])
}

/// Compares column `at` of a row, its checksum, with `sum`.
pub fn compare(row: &Row<'_>, at: usize, sum: &i64) -> Result<(), rusqlite::Error> {
    match row.get::<_, i64>(at)? == *sum {
        true => Ok(()),
        false => Err(damaged(at, SumError)),
    }
}

/// Reads a number of 64 bits, stored bit by bit.
pub fn number(row: &Row<'_>, at: usize) -> Result<u64, rusqlite::Error> {
    Ok(row.get::<_, i64>(at)?.cast_unsigned())
}

/// Makes the error of a column with content that Aspen never wrote.
pub fn damaged(
    at: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    let kind = rusqlite::types::Type::Blob;
    rusqlite::Error::FromSqlConversionFailure(at, kind, Box::new(error))
}

/// The row has changed since it was written.
#[derive(Debug, Snafu)]
#[snafu(display("the checksum of a row is wrong"))]
struct SumError;
