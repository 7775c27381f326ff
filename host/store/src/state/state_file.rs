//! The names of a shard's state files.
//!
//! Every state file has a number of its own, and the highest one counts, so that a new state takes
//! over by one rename and the write-ahead log of an old one can never be taken for the new one's.

use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::files;

/// A state file and its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateFile {
    pub number: u64,
    pub path: PathBuf,
}

impl StateFile {
    /// Names state file `number` of folder `dir`.
    pub fn new(dir: &Path, number: u64) -> Self {
        Self { number, path: dir.join(format!("state-{number}.db")) }
    }

    /// Returns the folder of the file.
    pub fn dir(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// Names the file of the state that takes over from this one.
    pub fn next(&self) -> Self {
        Self::new(self.dir(), self.number + 1)
    }
}

/// Returns the state file with the highest number. Older ones, and unfinished ones, are deleted.
pub fn newest(dir: &Path) -> Result<Option<StateFile>, StoreError> {
    let names = files::names(dir)?;
    let number = |name: &String| name.strip_prefix("state-")?.strip_suffix(".db")?.parse().ok();
    let numbers: Vec<u64> = names.iter().filter_map(number).collect();
    let highest = numbers.iter().copied().max();
    for number in numbers.into_iter().filter(|number| Some(*number) != highest) {
        files::remove_database(&StateFile::new(dir, number).path)?;
    }
    for name in names.iter().filter(|name| name.contains(".db.new")) {
        files::remove(&dir.join(name))?;
    }
    Ok(highest.map(|number| StateFile::new(dir, number)))
}
