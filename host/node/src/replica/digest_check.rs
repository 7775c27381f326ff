//! Comparing a replica's digests with those of the other voters.
//!
//! ```text
//! entry      1 .. 63  64 .. 127  128 ..
//! n1         a        b          c
//! n2         a        b          c        a majority of three has c at 128:
//! n3         a        b          x        n3 stops itself, and says at which entry it began
//! ```
//!
//! Promises that a replica stops only when a majority of the voters has, at one entry that the
//! replica has applied too, one digest other than the replica's. Digests are chained: once
//! different, different for good. So the latest common entry shows a difference, and a search
//! between that entry and the last entry known to be equal shows where it began. A replica that
//! lags or restarts has fewer digests, never wrong ones. Without a majority (two voters; others
//! that do not answer) nobody knows which replica is right: the status warns, and everything goes
//! on. Leaves out the mark and the repair (`aspen-store`).

use std::collections::BTreeMap;

use aspen_core::digest::Digest;
use aspen_core::ids::NodeId;
use aspen_store::Divergence;
use futures::future::join_all;

use crate::limits::DIGESTS_ASKED_MAX;
use crate::peer::{DigestReply, PeerReplica};
use crate::replica::digest_verdict::{Verdict, judge};
use crate::replica::parts::Replica;

/// The results of one replica's comparisons so far.
///
/// After a restart no earlier digests exist: a difference is found, but not its first entry, and then no
/// local snapshot is trusted. The other shards of the node go on. Not covered: a leader that differs can,
/// before it is found, send its snapshot to a follower that lags, which then differs too.
#[derive(Default)]
pub struct DigestCheck {
    /// The last entry at which a majority, this replica included, had one digest.
    agreed: Option<u64>,
    /// The entry at which all voters were equal: until more is applied there is nothing to compare.
    settled: Option<u64>,
}

/// A voter that answers, and its digests.
struct PeerDigests {
    id: NodeId,
    connection: PeerReplica,
    digests: DigestReply,
}

impl DigestCheck {
    /// Compares once, and takes a replica that is wrong out of service.
    pub async fn run(&mut self, replica: &Replica) {
        if let Some(divergence) = self.compare(replica).await {
            replica.quarantine(divergence).await;
        }
    }

    /// Returns true if there is nothing to compare: all voters were equal at the last entry applied
    /// here.
    pub fn is_settled(&self, replica: &Replica) -> bool {
        let newest = replica.reader.digest_window().map(|(_, newest)| newest);
        newest.is_none() || newest == self.settled
    }

    async fn compare(&mut self, replica: &Replica) -> Option<Divergence> {
        let window = replica.reader.digest_window()?;
        let newest = window.1;
        let me = NodeId::new(*replica.raft.node_id());
        let members = replica.members();
        let (voters, needed, ours) = votes(me, &members);
        let is_other_voter = |id: NodeId, votes: bool| votes && id != me;
        let asked = members.iter().filter(|(id, (_, votes))| is_other_voter(**id, *votes));
        let asked = asked.map(|(id, (address, _))| (*id, replica.net.peer(address))).collect();
        let (at, peers) = meet(asked, window, needed).await?;
        let own = replica.reader.digests(&[at]).first().copied().flatten()?;
        let others: Vec<_> =
            peers.iter().filter_map(|peer| Some((peer.id, peer.first()?))).collect();
        if others.is_empty() {
            return None;
        }
        match judge(own, ours, &others, needed) {
            Verdict::Equal => {
                self.agreed = Some(at).filter(|_| others.len() + ours >= needed).max(self.agreed);
                let all = others.len() + ours == voters;
                self.settled = Some(at).filter(|_| at == newest && all);
                replica.warn(None);
                None
            }
            Verdict::Split { other, is_majority } => {
                replica.warn(Some(warning(at, own, other, is_majority, voters)));
                None
            }
            Verdict::Outvoted { theirs, others } => {
                let addresses = members.into_iter().filter(|(id, _)| *id != me);
                let mut found = Divergence {
                    index: at,
                    agreed: self.agreed.filter(|agreed| *agreed < at),
                    own,
                    theirs,
                    others: others as u64,
                    voters: voters as u64,
                    members: addresses.map(|(_, (address, _))| address).collect(),
                };
                if let Some(peer) = peers.iter().find(|peer| peer.first() == Some(theirs)) {
                    narrow(&mut found, replica, peer).await;
                }
                Some(found)
            }
        }
    }
}

/// Returns how many members vote, how many of them are a majority, and the votes of this replica.
fn votes(me: NodeId, members: &BTreeMap<NodeId, (String, bool)>) -> (usize, usize, usize) {
    let voters = members.values().filter(|(_, votes)| *votes).count();
    let ours = members.get(&me).is_some_and(|(_, votes)| *votes);
    (voters, voters / 2 + 1, usize::from(ours))
}

/// Returns the latest entry that this replica and `needed` others, if as many answer, have applied,
/// with their digests there. `window` is the first and the last entry whose digests this replica
/// keeps.
async fn meet(
    asked: Vec<(NodeId, PeerReplica)>,
    (oldest, newest): (u64, u64),
    needed: usize,
) -> Option<(u64, Vec<PeerDigests>)> {
    let peers = ask(asked, newest).await;
    let mut reach: Vec<u64> =
        peers.iter().filter_map(|peer| Some(peer.digests.window?.1)).collect();
    reach.sort_unstable_by(|a, b| b.cmp(a));
    let at = newest.min(*reach.get(needed.min(reach.len()).checked_sub(1)?)?);
    if at == newest {
        return Some((at, peers));
    }
    let again = peers.into_iter().map(|peer| (peer.id, peer.connection)).collect();
    if at >= oldest { Some((at, ask(again, at).await)) } else { None }
}

fn warning(
    at: u64,
    own: Digest,
    (id, theirs): (NodeId, Digest),
    is_majority: bool,
    voters: usize,
) -> String {
    match is_majority {
        true => {
            format!("{id} diverged: at entry {at} it has digest {theirs}, a majority has {own}")
        }
        false => format!(
            "differs from {id} at entry {at}, digest {own} here and {theirs} there; no majority of \
             {voters} voters tells who is right"
        ),
    }
}

impl PeerDigests {
    fn first(&self) -> Option<Digest> {
        self.digests.at.first().copied().flatten()
    }
}

/// Asks all at the same time for their digest at one entry; returns those that answer.
async fn ask(peers: Vec<(NodeId, PeerReplica)>, at: u64) -> Vec<PeerDigests> {
    let asked = peers.into_iter().map(async |(id, connection)| {
        let digests = connection.digests(vec![at]).await?;
        Some(PeerDigests { id, connection, digests })
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// Narrows down where the difference began, as far as both still have digests. Each round asks for
/// some entries in between, so that three rounds suffice for all digests that a replica keeps.
async fn narrow(found: &mut Divergence, replica: &Replica, peer: &PeerDigests) {
    loop {
        let kept = |window: Option<(u64, u64)>| window.map_or(u64::MAX, |(oldest, _)| oldest);
        let both = kept(replica.reader.digest_window()).max(kept(peer.digests.window));
        let from = found.agreed.map_or(0, |agreed| agreed + 1).max(both);
        let at = between(from, found.index);
        if at.is_empty() {
            return;
        }
        let Some(theirs) = peer.connection.digests(at.clone()).await else { return };
        let own = replica.reader.digests(&at);
        let pairs = at.into_iter().zip(own.into_iter().zip(theirs.at));
        let known = pairs.filter_map(|(index, (own, theirs))| Some((index, own?, theirs?)));
        let before = (found.index, found.agreed);
        for (index, own, theirs) in known {
            if own != theirs {
                (found.index, found.own, found.theirs) = (index, own, theirs);
                break;
            }
            found.agreed = Some(index);
        }
        if before == (found.index, found.agreed) {
            return;
        }
    }
}

/// Returns entries of `from..to`, evenly spread, the first and the last among them.
fn between(from: u64, to: u64) -> Vec<u64> {
    let Some(span) = to.checked_sub(from).filter(|span| *span > 0) else { return vec![] };
    let count = span.min(DIGESTS_ASKED_MAX as u64);
    let last = (count - 1).max(1);
    (0..count).map(|n| from + (span - 1) * n / last).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_asks_for_both_ends_and_what_is_between() {
        assert!(between(5, 5).is_empty() && between(9, 5).is_empty());
        assert_eq!(between(5, 6), [5]);
        assert_eq!(between(5, 9), [5, 6, 7, 8]);
        let wide = between(100, 65_636);
        assert_eq!(
            (wide.len(), wide[0], wide[DIGESTS_ASKED_MAX - 1]),
            (DIGESTS_ASKED_MAX, 100, 65_635)
        );
        assert!(wide.is_sorted_by(|a, b| a < b));
    }
}
