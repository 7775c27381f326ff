//! The share of a run: the simulator's seeds and planted defects are divided among several runs.
//!
//! Promises that the shares of [`SHARES`] commits in a row are everything, each seed and defect once,
//! and that a commit always takes the same share, so that a failed seed is run again by the same command.
//! Leaves out the seeds and defects that are divided: `tests/tests/simulation.rs`. `make test-all` takes
//! everything at once.

use std::fmt;
use std::ops::Range;
use std::process::Command;
use std::str::FromStr;

/// Runs that it takes to run everything. Three: a run then takes a minute for seeds instead of three.
pub const SHARES: u64 = 3;

/// The variable of the environment that names the share: `2/3` is the second of three, `1/1` everything.
const VARIABLE: &str = "ASPEN_SHARE";

/// One of several equal parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The place among all parts, from 0.
    index: u64,
    /// The number of all parts.
    of: u64,
}

impl Share {
    /// Everything.
    pub const ALL: Share = Share { index: 0, of: 1 };

    /// Returns the share that the environment names, else that of the commit that is checked out.
    ///
    /// # Panics
    /// If `ASPEN_SHARE` is set and is not of the form `k/n`.
    pub fn of_this_run() -> Share {
        match std::env::var(VARIABLE) {
            Ok(text) => text.parse().unwrap_or_else(|error| panic!("{VARIABLE}: {error}")),
            Err(_) => commits().map_or(Share::ALL, Share::of_commit),
        }
    }

    /// Returns the share of the commit that has so many before it, itself included.
    fn of_commit(commits: u64) -> Share {
        Share { index: commits % SHARES, of: SHARES }
    }

    /// Returns this share of a range: neighbours, as many as the other shares have, or one fewer or more.
    pub fn range(self, all: Range<u64>) -> Range<u64> {
        let count = all.end - all.start;
        let start = |index: u64| all.start + count * index / self.of;
        start(self.index)..start(self.index + 1)
    }

    /// Returns true if the part at `place` of a list belongs to this share.
    pub fn has(self, place: usize) -> bool {
        place as u64 % self.of == self.index
    }

    /// Returns the assignment that makes `make test` and `cargo sim-test` take this share: `ASPEN_SHARE=2/3`.
    pub fn variable(self) -> String {
        format!("{VARIABLE}={self}")
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index + 1, self.of)
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Share, String> {
        let error = || format!("{text} is no share: 2/3 is the second of three");
        let (k, n) = text.split_once('/').ok_or_else(error)?;
        let number = |text: &str| text.parse::<u64>().map_err(|_| error());
        let (k, n) = (number(k)?, number(n)?);
        if !(1..=n).contains(&k) {
            return Err(error());
        }
        Ok(Share { index: k - 1, of: n })
    }
}

/// Returns how many commits led here, a merge counted as one. `None` without git or with a history
/// that is cut off: then no number is known that grows by one with every commit.
fn commits() -> Option<u64> {
    let git = |args: &[&str]| {
        let output =
            Command::new("git").current_dir(env!("CARGO_MANIFEST_DIR")).args(args).output();
        let output = output.ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    if git(&["rev-parse", "--is-shallow-repository"])? != "false" {
        return None;
    }
    git(&["rev-list", "--count", "--first-parent", "HEAD"])?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_commits_in_a_row_are_everything_once() {
        for count in [1, 2, 12, 40, 150] {
            let shares = (900..900 + SHARES).map(Share::of_commit);
            let mut all: Vec<u64> = shares.flat_map(|share| share.range(1..1 + count)).collect();
            all.sort_unstable();
            assert!(all.into_iter().eq(1..1 + count), "{count} seeds");
        }
        for place in 0..14 {
            let takers = (900..900 + SHARES).filter(|n| Share::of_commit(*n).has(place));
            assert_eq!(takers.count(), 1, "defect {place}");
        }
    }

    #[test]
    fn share_is_said_as_it_is_read() {
        for text in ["1/1", "2/3", "3/3"] {
            assert_eq!(text.parse::<Share>().unwrap().to_string(), text);
        }
        for text in ["", "3", "0/3", "4/3", "1/0", "a/b"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
        assert_eq!("1/1".parse(), Ok(Share::ALL));
    }
}
