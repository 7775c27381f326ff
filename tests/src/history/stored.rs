//! A history as JSON lines: the number of shards, then one transaction a line.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::history::{History, Transaction};

/// The first line.
#[derive(Serialize, Deserialize)]
struct Head {
    shards: u16,
}

/// Why a text is no history.
#[derive(Debug)]
pub struct StoredError {
    line: usize,
    source: serde_json::Error,
}

impl History {
    /// The history as text, to be parsed again.
    pub fn to_json_lines(&self) -> String {
        let head = serde_json::to_string(&Head { shards: self.shards });
        let lines = self.transactions.iter().map(serde_json::to_string);
        let lines = std::iter::once(head).chain(lines).map(|line| line.expect("text and numbers"));
        lines.map(|line| line + "\n").collect()
    }
}

impl FromStr for History {
    type Err = StoredError;

    fn from_str(text: &str) -> Result<History, StoredError> {
        let mut lines = text.lines().enumerate();
        let failed = |line: usize| move |source| StoredError { line: line + 1, source };
        let (_, head) = lines.next().unwrap_or_default();
        let head: Head = serde_json::from_str(head).map_err(failed(0))?;
        let parse = |(at, line): (usize, &str)| -> Result<Transaction, StoredError> {
            serde_json::from_str(line).map_err(failed(at))
        };
        let transactions = lines.map(parse).collect::<Result<_, _>>()?;
        Ok(History { shards: head.shards, transactions })
    }
}

impl fmt::Display for StoredError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} is not of a history: {}", self.line, self.source)
    }
}

impl std::error::Error for StoredError {}
