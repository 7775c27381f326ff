//! Golden vectors: the bytes of entries, outcomes and messages. Stored logs and running clusters
//! hold these; a failing one means that an older program cannot be read any more.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unreachable,
    reason = "a test fails by a panic, also in its helper functions"
)]

use aspen_core::codec::{decode, encode};
use aspen_core::digest::Digest;
use aspen_core::function::{Call, CallEnd, GuestFault};
use aspen_core::ids::{
    Caller, ComponentHash, ComponentRef, Fuel, LeaseId, LogIndex, Name, NodeId, ProfileId,
    RequestId, Revision, SessionId, ShardId, Timestamp, TxnId, Version, ViewId,
};
use aspen_core::key::{Key, KeyRange, Value};
use aspen_core::placement::Placement;
use aspen_core::protocol::{
    Command, Consistency, DryRun, Entry, ErrorReply, NodeStatus, Outcome, Query, QueryReply,
    ReplicaStatus, Request, Response, ScanRequest, Upload, UploadPart, ViewInfo,
};
use aspen_core::refusal::Refusal;
use aspen_core::state::{FirstRun, NewSchedule, StateHash, Verification};
use aspen_core::transaction::{
    Actual, Compare, ConflictError, Expectation, Expiry, Operation, OperationResult, Read,
    Relation, Transact, WriteOp,
};
use aspen_core::two_phase::{
    Branch, CommitReply, Decide, Decision, Finish, FunctionRun, Prepare, Vote,
};
use aspen_core::view::Record;
use bytes::Bytes;
use proptest::prelude::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn key(text: &str) -> Key {
    Key::try_from(text).unwrap()
}

fn entry(command: Command) -> Entry {
    Entry {
        stamp: Timestamp::new(300),
        seed: 5,
        caller: Caller::LOCAL,
        request: Some(RequestId { session: SessionId::new(1), sequence: 2, acknowledged: 1 }),
        command,
    }
}

fn txn() -> TxnId {
    TxnId { begun: Timestamp::new(300), coordinator: ShardId::new(2), nonce: 9 }
}

/// A transaction with each kind of read and of operation.
fn transaction() -> Transact {
    let read = |expected| Read::Key { key: key("k"), expected };
    let compare = |compare| read(Expectation::Compare(compare));
    let (value, revision) = (Value::try_from("v").unwrap(), Revision::new(2));
    let lease = LeaseId::new(3);
    let range = KeyRange { start: "a".into(), end: Some("b".into()) };
    let reads = vec![
        read(Expectation::Absent),
        read(Expectation::Version(Version::new(1))),
        read(Expectation::ModRevision(revision)),
        read(Expectation::UnchangedSince(revision)),
        compare(Compare::Value(Relation::Equal, value.clone())),
        compare(Compare::Version(Relation::NotEqual, Version::new(1))),
        compare(Compare::CreateRevision(Relation::Less, revision)),
        compare(Compare::ModRevision(Relation::Greater, revision)),
        compare(Compare::Lease(Relation::Equal, lease)),
        Read::range(range.clone(), revision),
        Read::Range { range, unchanged_since: revision, shard: Some(ShardId::new(3)) },
    ];
    let set = |expiry| WriteOp::Set { key: key("a"), value: value.clone(), expiry }.into();
    let then = vec![
        set(Expiry::Never),
        set(Expiry::Keep),
        set(Expiry::Lease(lease)),
        set(Expiry::After(300)),
        WriteOp::Delete { key: key("b") }.into(),
        WriteOp::Expire { key: key("b"), expiry: Expiry::Never }.into(),
        Operation::Get(key("g")),
        Operation::Grant { ttl_ms: 300 },
        Operation::KeepAlive(lease),
        Operation::Revoke(lease),
    ];
    Transact { reads, then, otherwise: Some(vec![]), return_values: true }
}

fn commands() -> [Command; 20] {
    let component = ComponentRef::Name(Name::new("bank").unwrap());
    let args = Bytes::from_static(&[1, 0]);
    let call = Call { key: key("c"), component, function: "f".into(), args, reads: vec![] };
    let upload = Upload { name: Name::new("n").unwrap(), bytes: Bytes::from_static(b"w") };
    [
        Command::OpenSession,
        Command::Transact(transaction()),
        Command::Call(call.clone()),
        Command::Upload(upload),
        Command::Tick,
        Command::Prepare(Prepare { txn: txn(), part: Transact::default() }),
        Command::Decide(Decide {
            txn: txn(),
            decision: commit(),
            answer: CommitReply::Results(vec![]),
        }),
        Command::Finish(Finish {
            txn: txn(),
            prepare_id: Some(4),
            branch: Some(Branch::Otherwise),
        }),
        Command::Forget(vec![txn()]),
        Command::Point { name: Name::new("n").unwrap(), component: ComponentHash::new([7; 32]) },
        Command::RemoveName { name: Name::new("n").unwrap() },
        Command::Canary {
            name: Name::new("n").unwrap(),
            canary: Some((ComponentHash::new([7; 32]), 5)),
        },
        Command::Schedule(NewSchedule {
            name: Name::new("n").unwrap(),
            call: call.clone(),
            first: FirstRun::At(Timestamp::new(300)),
            every_ms: Some(300),
        }),
        Command::Unschedule { name: Name::new("n").unwrap() },
        Command::SwitchProfile(ProfileId::new(300)),
        Command::Verify,
        Command::UploadPart(UploadPart {
            component: ComponentHash::new([7; 32]),
            total: 300,
            offset: 5,
            bytes: Bytes::from_static(b"w"),
        }),
        Command::FinishUpload {
            name: Name::new("n").unwrap(),
            component: ComponentHash::new([7; 32]),
        },
        Command::Decide(Decide { txn: txn(), decision: commit(), answer: called() }),
        Command::Conclude(Box::new(Outcome::Refused(Refusal::AttemptOver))),
    ]
}

fn called() -> CommitReply {
    CommitReply::Function(Box::new(FunctionRun {
        named: ComponentRef::Name(Name::new("bank").unwrap()),
        key: Key::try_from("k").unwrap(),
        component: ComponentHash::new([7; 32]),
        function: "f".into(),
        end: CallEnd::Returned(Bytes::from_static(&[1, 0])),
        fuel: Fuel::new(9),
        writes: 2,
        log: vec!["hi".into()],
        micros: 12,
    }))
}

fn commit() -> Decision {
    Decision::Commit { branch: Branch::Then, prepare_ids: vec![(ShardId::new(3), 4)] }
}

#[test]
fn entries_are_pinned() {
    // form 1, stamp 300, seed 5, caller, session 1, sequence 2, acknowledged 1, then the command
    let start = format!("01ac0205{}01010201", "00".repeat(32));
    let tails = [
        "00",
        "010b00016b0000016b010100016b020200016b030200016b040000017600016b0401010100016b0402020200016b0403030200016b0404000301016101016202000101610101620201030a0100016101760001000161017601010001610176020301000161017603ac0201010162010201620000016702ac0203030403010001",
        "020163000462616e6b016602010000",
        "03016e0177",
        "10",
        "0bac02020900000000",
        "0cac02020900000103040000",
        "0dac02020901040101",
        "0f01ac020209",
        "06016e0707070707070707070707070707070707070707070707070707070707070707",
        "08016e",
        "07016e01070707070707070707070707070707070707070707070707070707070707070705",
        "09016e0163000462616e6b01660201000000ac0201ac02",
        "0a016e",
        "11ac02",
        "12",
        "040707070707070707070707070707070707070707070707070707070707070707ac02050177",
        "05016e0707070707070707070707070707070707070707070707070707070707070707",
        "0cac020209000001030401000462616e6b016b07070707070707070707070707070707070707070707070707070707070707070166000201000902010268690c",
        "0e001c",
    ];
    for (command, tail) in commands().into_iter().zip(tails) {
        let entry = entry(command);
        let bytes = encode(&entry);
        assert_eq!(hex(&bytes), format!("{start}{tail}"));
        assert_eq!(decode::<Entry>(&bytes).unwrap(), entry);
    }
}

#[test]
fn outcomes_are_pinned() {
    let check = |outcome: Outcome, want: &str| {
        let bytes = encode(&outcome);
        assert_eq!(hex(&bytes), want, "{outcome:?}");
        assert_eq!(decode::<Outcome>(&bytes).unwrap(), outcome);
    };
    let (revision, fuel, none) = (Revision::new(7), Fuel::new(9), Bytes::from_static(&[1, 0]));
    check(Outcome::SessionOpened { session: SessionId::new(3) }, "010103");
    let (time, version, lease) = (Timestamp::new(4), Version::new(1), LeaseId::new(3));
    let record = Record {
        value: Value::try_from("v").unwrap(),
        version,
        create_revision: Revision::new(5),
        mod_revision: Revision::new(6),
        lease,
    };
    let results = vec![
        OperationResult::Got(None),
        OperationResult::Got(Some(record.clone())),
        OperationResult::Written { version },
        OperationResult::Deleted { version },
        OperationResult::Granted { lease },
        OperationResult::KeptAlive { due: time },
        OperationResult::Revoked { keys: 2 },
    ];
    check(
        Outcome::Committed { revision, time, succeeded: true, results },
        "0102070401070000000101760105060301010201030304040502",
    );
    let conflict = ConflictError {
        key: key("k"),
        expected: Expectation::Absent,
        actual: Actual { version, mod_revision: Revision::new(6) },
        record: Some(record),
    };
    check(
        Outcome::Conflict { revision, conflicts: vec![conflict] },
        "01030701016b00010601017601050603",
    );
    check(
        Outcome::Returned { revision, values: none.clone(), fuel, writes: 2 },
        "0104070201000902",
    );
    check(Outcome::Aborted { error: none, fuel }, "010502010009");
    check(Outcome::Faulted { fault: GuestFault::Trap, fuel }, "01060b09");
    let component = ComponentHash::new([0; 32]);
    check(Outcome::Uploaded { component }, &format!("0107{}", "00".repeat(32)));
    check(Outcome::Refused(Refusal::WrongShard { shard: ShardId::new(2) }), "01000202");
    check(Outcome::Ticked, "0110");
    let vote = Vote { prepare_id: 4, reads_hold: true, then: vec![], otherwise: vec![] };
    check(Outcome::Prepared(vote), "010d04010000");
    check(Outcome::Decided(commit()), "010e0000010304");
    check(Outcome::Decided(Decision::Abort), "010e01");
    check(Outcome::Finished, "010f");
    check(Outcome::Scheduled { due: time }, "010b04");
    check(Outcome::Unscheduled { existed: true }, "010c01");
    check(Outcome::ProfileSwitched { profile: ProfileId::new(300) }, "0111ac02");
    let refused = encode(&Outcome::Refused(Refusal::Locked { by: txn() }));
    assert!(Outcome::is_refusal(&refused) && !Outcome::is_refusal(&encode(&Outcome::Ticked)));
    check(Outcome::Refused(Refusal::Locked { by: txn() }), "01001bac020209");
    check(Outcome::Refused(Refusal::RangeAcrossShards), "010021");
    check(Outcome::Refused(Refusal::ScheduleWithReads), "01001a");
    check(Outcome::Refused(Refusal::TooManyUploads), "010015");
    check(Outcome::Refused(Refusal::UploadIncomplete), "010016");
    check(Outcome::Refused(Refusal::ComponentChanged), "01001d");
    check(Outcome::PartStored { bytes: 300 }, "0108ac02");
}

#[test]
fn status_is_pinned() {
    let shard = ReplicaStatus {
        shard: ShardId::new(2),
        term: 3,
        leader: Some(NodeId::new(1)),
        first: LogIndex::new(1),
        last: LogIndex::new(5),
        applied: LogIndex::new(4),
        snapshot: LogIndex::new(3),
        revision: Revision::new(2),
        digest: Digest::new(6),
        keys: 7,
        failed: None,
        warning: Some("w".into()),
        replicas: vec![(NodeId::new(1), true), (NodeId::new(2), false)],
        bytes: 300,
        rate: 9,
        receiving: Some((1, 2)),
        profile: ProfileId::new(300),
    };
    let (node, profiles) = (NodeId::new(1), vec![ProfileId::new(2)]);
    let status = Response::Status(NodeStatus { node, shards: vec![shard], profiles });
    let bytes = encode(&status);
    assert_eq!(hex(&bytes), "010201010203010101050403020607000101770201010200ac0209010102ac020102");
    assert_eq!(decode::<Response>(&bytes).unwrap(), status);
}

#[test]
fn map_is_pinned() {
    let nodes = [(NodeId::new(1), "a".to_string()), (NodeId::new(2), "b".into())];
    let mut placement = Placement::initial(nodes, 1, 1).unwrap();
    placement.shards[0].target = vec![NodeId::new(2)];
    let bytes = encode(&placement);
    assert_eq!(hex(&bytes), "010102020101610002016200010101010200");
    assert_eq!(decode::<Placement>(&bytes).unwrap(), placement);
}

#[test]
fn scans_and_views_are_pinned() {
    fn check<T>(message: T, want: &str)
    where
        T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        let bytes = encode(&message);
        assert_eq!(hex(&bytes), want, "{message:?}");
        assert_eq!(decode::<T>(&bytes).unwrap(), message);
    }
    let (shard, view) = (ShardId::new(2), ViewId::new(300));
    let range = KeyRange { start: "a".into(), end: Some("b".into()) };
    let scan = ScanRequest {
        shard,
        range: range.clone(),
        reverse: true,
        keys_only: false,
        limit: 7,
        bytes: 300,
        reads: vec![],
        consistency: Consistency::Linearizable,
        view: Some(view),
    };
    check(Request::Scan(scan), "0105020161010162010007ac02000001ac02");
    check(Request::OpenView { shard, range }, "0106020161010162");
    check(Request::CloseView { view }, "0107ac02");
    let info = ViewInfo { view, parts: vec![(shard, "n".into())] };
    check(Response::View(info), "0107ac020102016e");
    check(Response::ViewClosed, "0108");
    check(Response::Error(ErrorReply::ViewLost), "01000a");
    let call = Call {
        key: key("k"),
        component: ComponentRef::Hash(ComponentHash::new([7; 32])),
        function: "f".into(),
        args: Bytes::from_static(b"a"),
        reads: vec![],
    };
    let consistency = Consistency::Stale { max_age_ms: 300 };
    let hash = "07".repeat(32);
    check(
        Request::Query(Query { shard, call, consistency, dry_run: true }),
        &format!("010a02016b01{hash}016601610001ac0201"),
    );
    let did = DryRun {
        reads: vec![(key("a"), Version::new(300))],
        more_reads: 7,
        writes: vec![WriteOp::Delete { key: key("b") }],
        log: vec!["x".into()],
    };
    let queried = QueryReply { outcome: Outcome::Ticked, dry_run: Some(did) };
    check(Response::Query(queried), "01091001010161ac020701010162010178");
    check(Response::Error(ErrorReply::QueryWrites { key: key("a") }), "0100090161");
}

#[test]
fn verification_is_pinned() {
    fn check<T>(message: T, want: &str)
    where
        T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        let bytes = encode(&message);
        assert_eq!(hex(&bytes), want, "{message:?}");
        assert_eq!(decode::<T>(&bytes).unwrap(), message);
    }
    let (shard, index) = (ShardId::new(2), LogIndex::new(300));
    check(Request::Verify { shard }, "011302");
    check(Request::Verified { shard, index }, "011402ac02");
    check(Response::Verifying { index }, "0112ac02");
    let verified = |verification| Response::Verified(verification);
    check(verified(Verification::Running { keys: 3, of: 300 }), "01130003ac02");
    let hash = StateHash { hash: [7; 32], keys: 3, bytes: 300 };
    check(verified(Verification::Done(hash)), &format!("011301{}03ac02", "07".repeat(32)));
    check(verified(Verification::Behind { applied: index }), "011302ac02");
    check(verified(Verification::Unknown), "011303");
    check(verified(Verification::Failed { reason: "w".into() }), "0113040177");
}

#[test]
fn broken_messages_are_errors() {
    let whole = encode(&entry(commands()[1].clone()));
    for end in 0..whole.len() {
        assert!(decode::<Entry>(&whole[..end]).is_err(), "{end}");
    }
    let longer = [&whole[..], &[0]].concat();
    assert_eq!(decode::<Entry>(&longer).unwrap_err().to_string(), "1 bytes follow the message");
    let newer = [&[2], &whole[1..]].concat();
    assert_eq!(
        decode::<Entry>(&newer).unwrap_err().to_string(),
        "message has form 2, this program reads 1"
    );
}

#[test]
fn key_over_its_limit_cannot_be_smuggled_in() {
    let shard = ShardId::new(0);
    let (keys, consistency) = (vec![key(&"k".repeat(1024))], Consistency::Linearizable);
    let good = encode(&Request::Get { shard, keys, reads: vec![], consistency });
    assert!(decode::<Request>(&good).is_ok());
    // The same message with one byte more in the key: its length prefix and the byte itself.
    let mut bad = good.to_vec();
    bad[4] += 1;
    bad.insert(6, b'k');
    assert!(decode::<Request>(&bad).is_err());
}

proptest! {
    /// For any bytes decoding ends in a message or an error, and a message encodes again.
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        // After the byte of the form, which is all of an empty message.
        let bytes = [&encode(&())[..], &bytes].concat();
        if let Ok(request) = decode::<Request>(&bytes) {
            prop_assert_eq!(decode::<Request>(&encode(&request)).unwrap(), request);
        }
        let _ = decode::<Response>(&bytes);
        let _ = decode::<Entry>(&bytes);
        let _ = aspen_core::val::decode_vals(&bytes.into());
    }
}
