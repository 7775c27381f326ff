//! Messages between nodes from hostile bytes: every envelope and answer is a value or a typed
//! error.
//!
//! Promises that a value encodes to bytes that decode to the same value, and that a length which a
//! message announces costs no memory. Leaves out well-formed messages of a member that lies:
//! members are trusted.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic, also in its helper functions")]

use aspen_core::codec::{decode, encode};
use aspen_core::digest::Digest;
use aspen_core::ids::{NodeId, ShardId, Timestamp, TxnId, ViewId};
use aspen_core::key::KeyRange;
use aspen_core::placement::Placement;
use aspen_core::protocol::Command;
use aspen_core::two_phase::Decision;
use aspen_store::{LogId, Proposal, RaftEntry, StoredMembership, Vote};
use aspen_tests::fuzz::{Counting, allocated, mutated};
use bytes::Bytes;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest, VoteResponse};
use openraft::{EntryPayload, Membership};
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::leader_message::{LeaderReply, LeaderRequest, ViewReply, ViewStep};
use super::message::{DigestReply, Envelope, PeerError, PeerMessage, ReadIndex};
use super::placement_map::PlacementMap;
use super::snapshot_message::{SnapshotChunk, SnapshotPart, SnapshotPartRequest, SnapshotProgress};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The memory that decoding may ask for: one cautious block of serde's for each level of nesting,
/// and copies of lists that grow.
const ASKED_BYTES_MAX: usize = 8 << 20;

fn log_id(index: u64) -> LogId {
    let leader_id = openraft::impls::leader_id_adv::LeaderId { term: 3, node_id: 1 };
    LogId { leader_id, index }
}

fn map() -> PlacementMap {
    let nodes = [(NodeId::new(1), "00@127.0.0.1:4000".to_string())];
    PlacementMap { epoch: 300, placement: Placement::initial(nodes, 2, 3).unwrap() }
}

fn membership() -> StoredMembership {
    let node = openraft::BasicNode::new("00@127.0.0.1:4000");
    let nodes = std::collections::BTreeMap::from([(1, node.clone()), (2, node)]);
    let learner = Membership::new(vec![[1].into()], nodes);
    StoredMembership::new(Some(log_id(2)), learner.unwrap())
}

fn envelopes() -> Vec<Envelope> {
    let vote = Vote::new_committed(3, 1);
    let normal = EntryPayload::Normal(Proposal(Bytes::from_static(b"some entry")));
    let members = Membership::new_with_defaults(vec![[1, 2].into()], [3]);
    let payloads =
        [normal, EntryPayload::Blank, EntryPayload::Membership(members)].into_iter().enumerate();
    let entry = |(at, payload)| RaftEntry { log_id: log_id(300 + at as u64), payload };
    let append = AppendEntriesRequest {
        vote,
        prev_log_id: Some(log_id(299)),
        entries: payloads.map(entry).collect(),
        leader_commit: Some(log_id(298)),
    };
    let ask = || VoteRequest::new(vote, Some(log_id(300)));
    let last_membership = membership();
    let meta = aspen_store::SnapshotMeta { last_log_id: Some(log_id(300)), last_membership };
    let (checksum, data) = ([7; 32], Bytes::from_static(b"piece"));
    let chunk = SnapshotChunk { vote, meta, bytes: 300, checksum, offset: 0, data };
    let wanted = SnapshotPartRequest { at_least: 300, checksum: Some(checksum), offset: 7 };
    let txn = TxnId { begun: Timestamp::new(300), coordinator: ShardId::new(2), nonce: 9 };
    let view = ViewId::new(300);
    let messages = [
        PeerMessage::Append(append),
        PeerMessage::Vote(ask()),
        PeerMessage::PreVote(ask()),
        PeerMessage::Snapshot(chunk),
        PeerMessage::ReadIndex,
        PeerMessage::Digests(vec![1, 300]),
        PeerMessage::SnapshotPart(wanted),
        PeerMessage::Map,
        PeerMessage::LeadCount,
        PeerMessage::Host { epoch: 300 },
        PeerMessage::Leader(LeaderRequest::Members),
        PeerMessage::Leader(LeaderRequest::Settle(txn)),
        PeerMessage::Leader(LeaderRequest::Propose(Command::Forget(vec![txn]))),
        PeerMessage::Leader(LeaderRequest::View(ViewStep::Pin(view, KeyRange::prefix("k")))),
        PeerMessage::Leader(LeaderRequest::View(ViewStep::Unlock(txn))),
    ];
    let envelope = |message| Envelope { cluster: 7, shard: ShardId::new(0), message };
    messages.into_iter().map(envelope).collect()
}

fn answers() -> Vec<Vec<u8>> {
    let vote = Vote::new_committed(3, 1);
    let stopped = PeerError::Stopped { reason: "why".into() };
    let digest = Digest::new(0x0102_0304_0506_0708);
    vec![
        encode(&Ok::<_, PeerError>(AppendEntriesResponse::<aspen_store::TypeConfig>::Success)),
        encode(&Ok::<_, PeerError>(VoteResponse::<aspen_store::TypeConfig>::new(
            vote,
            Some(log_id(1)),
            true,
        ))),
        encode(&Ok::<_, PeerError>(ReadIndex(Some(300)))),
        encode(&Ok::<_, PeerError>(SnapshotProgress::More)),
        encode(&Ok::<_, PeerError>(DigestReply {
            window: Some((1, 300)),
            at: vec![None, Some(digest)],
        })),
        encode(&Ok::<_, PeerError>(map())),
        encode(&Ok::<_, PeerError>(300u32)),
        encode(&Ok::<_, PeerError>(LeaderReply::Members(vec![NodeId::new(300)]))),
        encode(&Ok::<_, PeerError>(LeaderReply::Outcome(Bytes::from_static(b"outcome")))),
        encode(&Ok::<_, PeerError>(LeaderReply::Settled(Some(Decision::Abort)))),
        encode(&Ok::<_, PeerError>(LeaderReply::View { answer: ViewReply::Full, by: "a".into() })),
        encode(&Err::<(), _>(stopped)),
        encode(&Err::<(), _>(PeerError::Promised)),
    ]
    .into_iter()
    .map(|bytes| bytes.to_vec())
    .collect()
}

/// Checks the promises for bytes that are to be a `T`; most of Raft's types do not compare.
fn check<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<(), TestCaseError> {
    let (asked, decoded) = allocated(|| decode::<T>(bytes));
    prop_assert!(asked <= ASKED_BYTES_MAX, "{asked} bytes asked for, {} there", bytes.len());
    if let Ok(value) = decoded {
        let once = encode(&value);
        let again = decode::<T>(&once);
        prop_assert_eq!(encode(&again.unwrap()), once);
    }
    Ok(())
}

fn check_answers(bytes: &[u8]) -> Result<(), TestCaseError> {
    type Answer<T> = Result<T, PeerError>;
    check::<Answer<AppendEntriesResponse<aspen_store::TypeConfig>>>(bytes)?;
    check::<Answer<VoteResponse<aspen_store::TypeConfig>>>(bytes)?;
    check::<Answer<ReadIndex>>(bytes)?;
    check::<Answer<SnapshotProgress>>(bytes)?;
    check::<Answer<DigestReply>>(bytes)?;
    check::<Answer<Option<SnapshotPart>>>(bytes)?;
    check::<Answer<PlacementMap>>(bytes)?;
    check::<Answer<u32>>(bytes)?;
    check::<Answer<LeaderReply>>(bytes)
}

fn valid() -> Vec<Vec<u8>> {
    envelopes().iter().map(|envelope| encode(envelope).to_vec()).collect()
}

#[test]
fn fuzz_envelopes_what_is_mutated_is_valid_before() {
    valid().iter().for_each(|bytes| assert!(decode::<Envelope>(bytes).is_ok()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60_000))]

    #[test]
    fn fuzz_envelopes_random(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        // After the byte of the form, which is all of an empty message.
        let bytes = [&encode(&())[..], &bytes].concat();
        check::<Envelope>(&bytes)?;
        check_answers(&bytes)?;
    }

    #[test]
    fn fuzz_envelopes_mutated(bytes in mutated(valid())) {
        check::<Envelope>(&bytes)?;
    }

    #[test]
    fn fuzz_envelopes_mutated_answers(bytes in mutated(answers())) {
        check_answers(&bytes)?;
    }
}
