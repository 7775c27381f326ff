//! The latest digests of a shard's chain, for comparison with other replicas.
//!
//! Promises bounded memory, and that two digests of one index from two replicas are equal unless
//! the replicas computed something differently up to it: only digests of applied entries get in, in
//! order. Begins with the entry that the state reached when it was opened or installed. Leaves out the
//! comparison (`aspen-node`).

use std::collections::VecDeque;

use aspen_core::digest::Digest;

use crate::limits::DIGESTS_MAX;

/// Digests of consecutive entries.
#[derive(Debug, Default)]
pub struct DigestRing {
    first: u64,
    digests: VecDeque<Digest>,
}

impl DigestRing {
    /// Makes a ring with the digest after one entry.
    pub fn starting(index: u64, digest: Digest) -> Self {
        Self { first: index, digests: VecDeque::from([digest]) }
    }

    /// Adds the digest after entry `index`. The oldest gives way. A gap empties the ring first.
    pub fn push(&mut self, index: u64, digest: Digest) {
        if index != self.first + self.digests.len() as u64 {
            self.digests.clear();
        }
        if self.digests.is_empty() {
            self.first = index;
        }
        if self.digests.len() == DIGESTS_MAX {
            self.digests.pop_front();
            self.first += 1;
        }
        self.digests.push_back(digest);
    }

    /// Returns the digest after entry `index`, if the ring still has it.
    pub fn get(&self, index: u64) -> Option<Digest> {
        let at = usize::try_from(index.checked_sub(self.first)?).ok()?;
        self.digests.get(at).copied()
    }

    /// Returns the first and the last entry whose digests the ring has.
    pub fn window(&self) -> Option<(u64, u64)> {
        let last = (self.digests.len() as u64).checked_sub(1)?;
        Some((self.first, self.first + last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(index: u64) -> Digest {
        Digest::new(index * 31)
    }

    #[test]
    fn storage_digests_are_bounded_and_the_latest() {
        let mut ring = DigestRing::default();
        assert_eq!((ring.window(), ring.get(0)), (None, None));
        let last = DIGESTS_MAX as u64 + 100;
        for index in 1..=last {
            ring.push(index, digest(index));
        }
        assert_eq!(ring.window(), Some((101, last)));
        assert_eq!(ring.digests.len(), DIGESTS_MAX);
        let of = |index| ring.get(index);
        assert_eq!([of(0), of(100), of(last + 1)], [None; 3]);
        assert_eq!([of(101), of(last)], [Some(digest(101)), Some(digest(last))]);
    }

    #[test]
    fn storage_digests_begin_anew_after_a_gap() {
        let mut ring = DigestRing::starting(7, digest(7));
        ring.push(8, digest(8));
        assert_eq!(ring.window(), Some((7, 8)));
        ring.push(20, digest(20));
        assert_eq!((ring.window(), ring.get(8)), (Some((20, 20)), None));
    }
}
