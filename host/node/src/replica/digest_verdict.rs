//! Judging digests: which replica is wrong, if a majority can tell.
//!
//! Promises [`Verdict::Outvoted`] only if a majority of the voters has one digest other than ours.

use aspen_core::digest::Digest;
use aspen_core::ids::NodeId;

/// The verdict about the digests at one entry.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No digest differs.
    Equal,
    /// This voter differs. True if a majority has our digest.
    Split { other: (NodeId, Digest), is_majority: bool },
    /// `others` other voters have `theirs`; they are a majority.
    Outvoted { theirs: Digest, others: usize },
}

/// Judges the digests of others. A majority of the voters is `needed`; this replica has `ours`
/// votes: one, or none as a learner.
pub fn judge(own: Digest, ours: usize, others: &[(NodeId, Digest)], needed: usize) -> Verdict {
    let have = |digest| others.iter().filter(|(_, other)| *other == digest).count();
    let differing = || others.iter().filter(|(_, digest)| *digest != own);
    let outvoted = differing().map(|(_, digest)| (*digest, have(*digest)));
    if let Some((theirs, others)) = outvoted.max_by_key(|(_, count)| *count)
        && others >= needed
    {
        return Verdict::Outvoted { theirs, others };
    }
    match differing().next() {
        Some(other) => Verdict::Split { other: *other, is_majority: have(own) + ours >= needed },
        None => Verdict::Equal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replica_stops_only_against_a_majority() {
        let check = |others: &[u64], needed: usize, expect: Verdict| {
            let digest =
                |(n, digest): (usize, &u64)| (NodeId::new(n as u64 + 2), Digest::new(*digest));
            let others: Vec<_> = others.iter().enumerate().map(digest).collect();
            assert_eq!(judge(Digest::new(1), 1, &others, needed), expect, "{others:?}");
        };
        let split = |id, digest, is_majority| Verdict::Split {
            other: (NodeId::new(id), Digest::new(digest)),
            is_majority,
        };
        let outvoted = |theirs, others| Verdict::Outvoted { theirs: Digest::new(theirs), others };
        // Three voters.
        check(&[1, 1], 2, Verdict::Equal);
        check(&[1], 2, Verdict::Equal);
        check(&[1, 7], 2, split(3, 7, true));
        check(&[7], 2, split(2, 7, false));
        check(&[7, 7], 2, outvoted(7, 2));
        check(&[7, 8], 2, split(2, 7, false));
        // Two: a tie.
        check(&[7], 2, split(2, 7, false));
        // Five.
        check(&[7, 7, 1, 1], 3, split(2, 7, true));
        check(&[7, 7, 8, 1], 3, split(2, 7, false));
        check(&[8, 7, 7, 7], 3, outvoted(7, 3));
    }
}
