//! The reasons why a state's database cannot be used.
//!
//! Promises to tell damage, after which the state is rebuilt, from a machine that cannot read the file
//! and from a file that this program must not touch.

use aspen_core::codec::{CodecError, FORM_REMEDY};
use aspen_core::view::HostError;
use rusqlite::ErrorCode;
use snafu::Snafu;

/// The reason why a database cannot be used.
#[derive(Debug, Snafu)]
#[snafu(visibility(pub(super)))]
pub enum StateFileError {
    /// SQLite's answer.
    #[snafu(display("{source}"))]
    Sqlite { source: rusqlite::Error },
    /// SQLite returned bytes that Aspen did not write.
    #[snafu(display("{what} cannot be read"))]
    Content { what: &'static str },
    /// Pages or rows are wrong.
    #[snafu(display("{report}"))]
    Check { report: String },
    /// Another version of the program wrote the file.
    #[snafu(display("it has form {form}, this program reads form {expected}: {FORM_REMEDY}"))]
    Form { form: i32, expected: i32 },
    /// Another version of the program wrote a row.
    #[snafu(display("{source}: {FORM_REMEDY}"))]
    RowForm { source: CodecError },
}

impl From<rusqlite::Error> for StateFileError {
    fn from(source: rusqlite::Error) -> Self {
        Self::Sqlite { source }
    }
}

impl StateFileError {
    /// Makes an error of a row that could not be read: the row is wrong.
    pub fn of_row(fault: &HostError) -> Self {
        let report = std::error::Error::source(fault).map(ToString::to_string);
        Self::Check { report: report.unwrap_or_default() }
    }

    /// Returns true if the file is damaged; otherwise the machine could not read it, or must not.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Content { .. } | Self::Check { .. } => true,
            Self::Form { .. } | Self::RowForm { .. } => false,
            Self::Sqlite { source } => {
                let code = source.sqlite_error_code();
                let damage = [ErrorCode::DatabaseCorrupt, ErrorCode::NotADatabase];
                // No code: a column of another type. Unknown: a table or column that is missing.
                code.is_none_or(|code| damage.contains(&code) || code == ErrorCode::Unknown)
            }
        }
    }

    /// Makes an error of SQLite, for callers that cannot tell more.
    pub fn into_sqlite(self) -> rusqlite::Error {
        match self {
            Self::Sqlite { source } => source,
            other => rusqlite::Error::ToSqlConversionFailure(Box::new(other)),
        }
    }
}
