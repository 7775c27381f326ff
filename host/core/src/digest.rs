//! The digest: a chained hash over everything that a shard applied. Replicas that differ have different ones.
//!
//! Promises that two replicas with equal digests at an index computed the same outcomes, write sets and
//! fuel for every entry up to that index, but for a collision of 2^-64.
//! Hash: SeaHash with the previous digest as seed (fast, portable; not against an adversary, who would have
//! to be a replica). Every part is hashed with its length, so parts cannot run together.

use std::fmt;
use std::hash::Hasher;

use serde::{Deserialize, Serialize};

/// The state of the chain after an entry. Zero before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest(u64);

impl Digest {
    /// Wraps a stored digest.
    pub const fn new(digest: u64) -> Self {
        Self(digest)
    }

    pub const fn get(self) -> u64 {
        self.0
    }
}

/// 16 hex digits.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Collects the parts of one entry and returns the next digest of the chain.
pub struct DigestBuilder(seahash::SeaHasher);

impl DigestBuilder {
    /// Begins with the digest of the entry before.
    pub fn after(previous: Digest) -> Self {
        Self(seahash::SeaHasher::with_seeds(
            previous.0,
            0x9e37_79b9_7f4a_7c15,
            0xc2b2_ae3d_27d4_eb4f,
            0x1656_67b1_9e37_79f9,
        ))
    }

    /// Adds bytes with their length.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as u64);
        self.0.write(bytes);
        self
    }

    /// Adds a number.
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.0.write_u64(number);
        self
    }

    /// Returns the digest of the chain with these parts.
    pub fn finish(&self) -> Digest {
        Digest(self.0.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        let of = |parts: &[&[u8]]| {
            let mut builder = DigestBuilder::after(Digest::default());
            parts.iter().for_each(|part| {
                builder.bytes(part);
            });
            builder.finish()
        };
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
        assert_ne!(of(&[b"", b"a"]), of(&[b"a", b""]));
    }

    /// A change here would tell every replica of a running cluster that the others diverged.
    #[test]
    fn chain_is_pinned() {
        let first = DigestBuilder::after(Digest::default()).bytes(b"aspen").number(7).finish();
        let second = DigestBuilder::after(first).finish();
        assert_eq!([first.get(), second.get()], [16983047185772836032, 11668394463193165194]);
    }
}
