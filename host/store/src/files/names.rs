//! The names of files: those in a folder, and those that SQLite gives to its side files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use snafu::ResultExt;

use crate::error::{FileSnafu, StoreError};

/// Returns `path` with `suffix` added to its name: so SQLite names its side files.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Returns the names of the files in folder `dir`, sorted.
pub fn names(dir: &Path) -> Result<Vec<String>, StoreError> {
    let read = || -> io::Result<Vec<String>> {
        let mut names = vec![];
        for file in fs::read_dir(dir)? {
            names.extend(file?.file_name().into_string().ok());
        }
        names.sort();
        Ok(names)
    };
    read().context(FileSnafu { what: "listing", path: dir })
}
