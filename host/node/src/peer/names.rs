//! The names of every message between nodes, in their order, which is the byte form.
//!
//! A new variant goes to the end, and its name into this file. A name that moves is another protocol:
//! nodes of two versions would not understand each other. Leaves out the types of other crates.

use aspen_tests::serialized::names;

use super::*;

#[test]
fn messages_between_nodes_keep_their_order() {
    let check = |found: &[&str], wanted: &str| assert_eq!(found.join(" "), wanted);
    check(names::<Envelope>(), "cluster shard message");
    check(
        names::<PeerMessage>(),
        "Append Vote PreVote TransferLeader Snapshot SnapshotPart ReadIndex Digests Map Host LeadCount Leader \
         Compile Profiles",
    );
    check(names::<PeerError>(), "OtherCluster NoShard Malformed Stopped Promised");
    check(names::<LeaderRequest>(), "Propose Settle Read Members View");
    check(names::<LeaderReply>(), "Outcome Settled Read Members View NotLeader Unavailable");
    check(names::<ViewStep>(), "Hold Pin Confirm Close Unlock");
    check(names::<ViewReply>(), "Done Locked Full Lost");
    check(names::<ComponentSource>(), "Compiled Bytes Parts");
    check(names::<CompileReply>(), "Ready Lacks Unfit Busy");
    check(names::<SnapshotChunk>(), "vote meta bytes checksum offset data");
    check(names::<SnapshotProgress>(), "More Installed");
    check(names::<SnapshotPartRequest>(), "at_least checksum offset");
    check(names::<SnapshotPart>(), "meta bytes checksum data");
    check(names::<DigestReply>(), "window at");
    check(names::<PlacementMap>(), "epoch placement");
}
