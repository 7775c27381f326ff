//! [`ScanToken`]: a place in a scan of one cluster, with a direction, from which the scan goes on.
//!
//! Promises that a damaged token, or one of another cluster, is refused. Text form: `scan1-` and lower-case
//! hex of a checksum (SeaHash, 8 bytes, big endian) and the encoded content. A token holds no secret and
//! grants nothing.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use snafu::{OptionExt, Snafu, ensure};

use crate::codec::{decode, encode};
use crate::key::KeyRange;
use crate::limits::KEY_BYTES_MAX;

const PREFIX: &str = "scan1-";

/// Longest text of a token: two keys and the few bytes around them, in hex.
const TEXT_BYTES_MAX: usize = PREFIX.len() + 2 * (2 * (KEY_BYTES_MAX + 1) + 64);

/// A place in a scan from which the scan goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanToken {
    cluster: u128,
    rest: KeyRange,
    reverse: bool,
}

/// The reasons for which a token cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Snafu)]
pub enum ScanTokenError {
    /// The text is no token, or was changed on the way.
    #[snafu(display("the scan token is damaged"))]
    Damaged,
    /// The token is of another cluster.
    #[snafu(display("the scan token is of cluster {of:032x}"))]
    OtherCluster { of: u128 },
}

impl ScanToken {
    /// Makes a token for the rest of a range.
    pub fn new(cluster: u128, rest: KeyRange, reverse: bool) -> Self {
        Self { cluster, rest, reverse }
    }

    /// Returns the rest of the range and true for a reverse scan, if the token is of this cluster.
    pub fn open(&self, cluster: u128) -> Result<(KeyRange, bool), ScanTokenError> {
        ensure!(self.cluster == cluster, OtherClusterSnafu { of: self.cluster });
        Ok((self.rest.clone(), self.reverse))
    }
}

impl fmt::Display for ScanToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content = encode(self);
        let checksum = seahash::hash(&content).to_be_bytes();
        f.write_str(PREFIX)?;
        checksum.iter().chain(&content).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for ScanToken {
    type Err = ScanTokenError;

    fn from_str(text: &str) -> Result<Self, ScanTokenError> {
        ensure!(text.len() <= TEXT_BYTES_MAX && text.is_ascii(), DamagedSnafu);
        let hex = text.strip_prefix(PREFIX).context(DamagedSnafu)?.as_bytes();
        let (pairs, rest) = hex.as_chunks::<2>();
        ensure!(rest.is_empty(), DamagedSnafu);
        let digit = |digit: u8| (digit as char).to_digit(16);
        let byte = |pair: &[u8; 2]| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8);
        let bytes = pairs.iter().map(byte).collect::<Option<Vec<u8>>>().context(DamagedSnafu)?;
        let (checksum, content) = bytes.split_first_chunk::<8>().context(DamagedSnafu)?;
        ensure!(seahash::hash(content).to_be_bytes() == *checksum, DamagedSnafu);
        let token: ScanToken =
            decode(&Bytes::copy_from_slice(content)).ok().context(DamagedSnafu)?;
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_survives_its_text_and_nothing_else_does() {
        let rest = KeyRange { start: "a".into(), end: Some(Bytes::from_static(&[0xff, 0])) };
        let token = ScanToken::new(7, rest.clone(), true);
        let text = token.to_string();
        assert_eq!(text.parse::<ScanToken>(), Ok(token.clone()));
        assert_eq!(token.open(7), Ok((rest, true)));
        let other = token.open(8).unwrap_err().to_string();
        assert_eq!(other, "the scan token is of cluster 00000000000000000000000000000007");
        for at in 0..text.len() {
            let mut damaged = text.clone().into_bytes();
            damaged[at] = if damaged[at] == b'0' { b'1' } else { b'0' };
            let damaged = String::from_utf8(damaged).unwrap();
            assert_eq!(damaged.parse::<ScanToken>(), Err(ScanTokenError::Damaged), "{at}");
            assert_eq!(text[..at].parse::<ScanToken>(), Err(ScanTokenError::Damaged), "{at}");
        }
        let long = format!("{text}{}", "00".repeat(3000));
        assert_eq!(long.parse::<ScanToken>(), Err(ScanTokenError::Damaged));
        assert_eq!("scan1-é0".parse::<ScanToken>(), Err(ScanTokenError::Damaged));
    }
}
