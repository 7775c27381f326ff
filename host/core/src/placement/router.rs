//! [`ShardRouter`]: the map from keys to shards.
//!
//! Shard = jump consistent hash of the SeaHash of the key's *tag*. The tag is the part inside the
//! first `{...}` that is not empty, else the whole key. So keys with one tag live together. Promises that
//! the mapping never changes (golden vectors), and that growing from n to n+1 shards moves only 1/(n+1)
//! of the tags, all of them to the new shard.
//! Source: Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm", 2014.

use snafu::{Snafu, ensure};

use crate::ids::ShardId;
use crate::key::KeyRange;
use crate::limits::SHARDS_MAX;

/// Returns the part of a key that decides its shard.
pub fn tag(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|byte| *byte == b'{') else { return key };
    let inside = &key[open + 1..];
    match inside.iter().position(|byte| *byte == b'}') {
        Some(close) if close > 0 => &inside[..close],
        _ => key,
    }
}

/// Returns the hash of a key's tag. With the number of shards it decides the shard.
pub fn tag_hash(key: &[u8]) -> u64 {
    seahash::hash(tag(key))
}

/// The map from keys to shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardRouter {
    shards: u16,
}

/// The error for a number of shards that no cluster has.
#[derive(Debug, Snafu)]
#[snafu(display("a cluster has 1 to {SHARDS_MAX} shards, not {shards}"))]
pub struct ShardCountError {
    shards: u16,
}

impl ShardRouter {
    /// Makes a router for this many shards.
    pub fn new(shards: u16) -> Result<Self, ShardCountError> {
        ensure!((1..=SHARDS_MAX).contains(&shards), ShardCountSnafu { shards });
        Ok(Self { shards })
    }

    pub const fn shards(&self) -> u16 {
        self.shards
    }

    /// Returns the shard of a key.
    pub fn shard(&self, key: &[u8]) -> ShardId {
        ShardId::new(jump(tag_hash(key), self.shards))
    }

    /// Returns the one shard that all keys of `range` live on, if the range decides it: there is
    /// only one shard, or the range lies behind a whole `{tag}`.
    pub fn range_shard(&self, range: &KeyRange) -> Option<ShardId> {
        if let Some(only) = self.only() {
            return Some(only);
        }
        let open = range.start.iter().position(|byte| *byte == b'{')?;
        let close = open + 1 + range.start[open + 1..].iter().position(|byte| *byte == b'}')?;
        let tagged = range.start.slice(..=close);
        let behind = KeyRange::prefix(tagged.clone());
        let is_inside = match (&range.end, &behind.end) {
            (Some(end), Some(last)) => end <= last,
            (_, None) => true,
            (None, Some(_)) => false,
        };
        (is_inside && close > open + 1).then(|| self.shard(&tagged))
    }

    /// Returns the shard of a cluster with one shard.
    pub fn only(&self) -> Option<ShardId> {
        (self.shards == 1).then_some(ShardId::new(0))
    }

    /// Returns all shards, in order.
    pub fn all(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.shards).map(ShardId::new)
    }
}

/// The paper's algorithm. The division is IEEE 754 double, exact to the bit on every machine.
fn jump(mut hash: u64, buckets: u16) -> u16 {
    let (mut bucket, mut next) = (0i64, 0i64);
    while next < i64::from(buckets) {
        bucket = next;
        hash = hash.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        next = ((bucket + 1) as f64 * ((1u64 << 31) as f64 / ((hash >> 33) + 1) as f64)) as i64;
    }
    bucket as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_behind_a_whole_tag_is_on_one_shard() {
        let router = ShardRouter::new(8).unwrap();
        let check = |range: KeyRange, want: Option<&str>| {
            let want = want.map(|key| router.shard(key.as_bytes()));
            assert_eq!(router.range_shard(&range), want, "{range:?}");
        };
        let prefix = |text: &'static str| KeyRange::prefix(text.as_bytes());
        check(prefix("{07592}/"), Some("{07592}"));
        check(prefix("{07592}"), Some("{07592}"));
        check(prefix("a{b}c{d}"), Some("b"));
        check(KeyRange::from("{a}x".."{a}y"), Some("a"));
        check(KeyRange::from("{a}x".."{b}"), None);
        check(KeyRange::from("{a}x"..), None);
        check(prefix("{}a"), None);
        check(prefix("{0759"), None);
        check(KeyRange::all(), None);
        let one = ShardRouter::new(1).unwrap();
        assert_eq!(one.range_shard(&KeyRange::all()), Some(ShardId::new(0)));
    }

    #[test]
    fn tag_is_the_first_braced_part() {
        let check =
            |key: &str, want: &str| assert_eq!(tag(key.as_bytes()), want.as_bytes(), "{key}");
        check("plain", "plain");
        check("{07592}/total", "07592");
        check("a{b}c{d}", "b");
        check("{}x", "{}x");
        check("{open", "{open");
        check("}{a}", "a");
    }

    /// Data already stored is found by this mapping: it can never change.
    #[test]
    fn sharding_mapping_is_pinned() {
        let of = |key: &str, shards| ShardRouter::new(shards).unwrap().shard(key.as_bytes()).get();
        let got: Vec<[u16; 4]> = ["a", "{07592}/total", "account/1", ""]
            .map(|key| [1, 8, 16, 256].map(|shards| of(key, shards)))
            .to_vec();
        assert_eq!(got, PINNED);
    }
    const PINNED: [[u16; 4]; 4] = [[0, 7, 10, 20], [0, 5, 15, 212], [0, 4, 15, 134], [0, 1, 1, 63]];

    #[test]
    fn shard_count_is_bounded() {
        assert!(ShardRouter::new(0).is_err());
        assert_eq!(
            ShardRouter::new(257).unwrap_err().to_string(),
            "a cluster has 1 to 256 shards, not 257"
        );
    }
}
