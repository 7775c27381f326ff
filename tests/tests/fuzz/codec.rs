//! Entries, commands, outcomes, requests and answers from hostile bytes.
//!
//! Each ends in a value or a typed error, without a panic. A value encodes to something that decodes
//! to the same value, so a replica and its log never disagree. An announced length far above what
//! is there costs no more memory than one cautious block for each level of nesting.

use std::fmt::Debug;

use aspen_core::codec::{decode, encode};
use aspen_core::digest::Digest;
use aspen_core::function::{Call, CallEnd, CallEndKind, CallNote, FunctionStatistics, GuestFault};
use aspen_core::ids::{
    Caller, ComponentHash, ComponentRef, Fuel, LeaseId, LogIndex, Name, NodeId, ProfileId,
    RequestId, Revision, SessionId, ShardId, Timestamp, TxnId, Version, ViewId,
};
use aspen_core::key::{Key, KeyRange, Value};
use aspen_core::placement::{Placement, PlacementChange};
use aspen_core::protocol::{
    ClusterInfo, Command, ComponentInfo, Consistency, DryRun, Entry, ErrorReply, Item, LeaseInfo,
    NodeStatus, Outcome, Page, Query, QueryReply, ReplicaStatus, Request, Response, ScanRequest,
    Upload, UploadPart, ViewInfo,
};
use aspen_core::refusal::Refusal;
use aspen_core::state::{FirstRun, LastRun, NewSchedule, Schedule, StateHash, Verification};
use aspen_core::transaction::{
    Actual, Compare, ConflictError, Expectation, Expiry, Operation, OperationResult, Read,
    Relation, Transact, WriteOp,
};
use aspen_core::two_phase::{
    Branch, CommitReply, Decide, Decision, Finish, FunctionRun, Prepare, Vote,
};
use aspen_core::val::{Val, decode_vals, encode_vals};
use aspen_core::view::{Alias, AliasTarget, Canary, Record};
use aspen_tests::fuzz::{allocated, mutated};
use bytes::Bytes;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The memory that one value may ask for in addition to its own bytes: serde reserves at most 1 MiB ahead
/// for a list of announced length, and lists nest four deep. A list that grows is copied a few times.
const ASKED_BYTES_MAX: usize = 8 << 20;

const SHARD: ShardId = ShardId::new(1);

fn key(text: &str) -> Key {
    Key::try_from(text).unwrap()
}

fn record() -> Record {
    Record {
        value: Value::try_from("value").unwrap(),
        version: Version::new(300),
        create_revision: Revision::new(5),
        mod_revision: Revision::new(70_000),
        lease: LeaseId::new(3),
    }
}

fn reads() -> Vec<Read> {
    let compare = Compare::Value(Relation::Less, Value::try_from("v").unwrap());
    let expected = [Expectation::Absent, Expectation::ModRevision(Revision::new(300))];
    let expected = expected.into_iter().chain([Expectation::Compare(compare)]);
    let mut reads: Vec<Read> =
        expected.map(|expected| Read::Key { key: key("k"), expected }).collect();
    let range = KeyRange { start: "a".into(), end: Some("b".into()) };
    reads.push(Read::range(range.clone(), Revision::new(2)));
    let shard = Some(ShardId::new(300));
    reads.push(Read::Range { range, unchanged_since: Revision::new(2), shard });
    reads
}

fn commands() -> Vec<Command> {
    let set = |expiry| {
        WriteOp::Set { key: key("a"), value: Value::try_from("v").unwrap(), expiry }.into()
    };
    let then = vec![
        set(Expiry::After(300)),
        set(Expiry::Lease(LeaseId::new(3))),
        WriteOp::Delete { key: key("b") }.into(),
        Operation::Get(key("g")),
        Operation::Grant { ttl_ms: 300 },
    ];
    let otherwise = Some(vec![Operation::Get(key("o"))]);
    let transact = Transact { reads: reads(), then, otherwise, return_values: true };
    let component = ComponentRef::Name(Name::new("bank").unwrap());
    let args = encode_vals(&vals()).unwrap();
    let call = Call { key: key("c"), component, function: "f".into(), args, reads: reads() };
    let upload = Upload { name: Name::new("n").unwrap(), bytes: Bytes::from_static(b"wasm") };
    let txn = TxnId { begun: Timestamp::new(300), coordinator: SHARD, nonce: 9 };
    let decision = Decision::Commit { branch: Branch::Then, prepare_ids: vec![(SHARD, 4)] };
    let scheduled = Call { reads: vec![], ..call.clone() };
    let (first, every_ms) = (FirstRun::After(300), Some(3_000));
    vec![
        Command::Schedule(NewSchedule {
            name: Name::new("n").unwrap(),
            call: scheduled,
            first,
            every_ms,
        }),
        Command::Unschedule { name: Name::new("n").unwrap() },
        Command::SwitchProfile(ProfileId::new(300)),
        Command::Prepare(Prepare { txn, part: transact.clone() }),
        Command::Decide(Decide {
            txn,
            decision: decision.clone(),
            answer: CommitReply::Results(vec![]),
        }),
        Command::Decide(Decide { txn, decision, answer: ran_across() }),
        Command::Finish(Finish { txn, prepare_id: Some(4), branch: None }),
        Command::Conclude(Box::new(Outcome::Refused(Refusal::AttemptOver))),
        Command::Forget(vec![txn, txn]),
        Command::OpenSession,
        Command::Transact(transact),
        Command::Call(call),
        Command::Upload(upload),
        Command::Tick,
        Command::Point { name: Name::new("n").unwrap(), component: ComponentHash::new([7; 32]) },
        Command::RemoveName { name: Name::new("n").unwrap() },
        Command::Canary {
            name: Name::new("n").unwrap(),
            canary: Some((ComponentHash::new([7; 32]), 5)),
        },
        Command::Verify,
        Command::UploadPart(UploadPart {
            component: ComponentHash::new([7; 32]),
            total: 300,
            offset: 5,
            bytes: Bytes::from_static(b"wasm"),
        }),
        Command::FinishUpload {
            name: Name::new("n").unwrap(),
            component: ComponentHash::new([7; 32]),
        },
    ]
}

fn request_id() -> RequestId {
    RequestId { session: SessionId::new(1), sequence: 2, acknowledged: 1 }
}

fn entries() -> Vec<Entry> {
    let (stamp, caller, request) = (Timestamp::new(300), Caller::LOCAL, Some(request_id()));
    let entry = |command| Entry { stamp, seed: 5, caller, request, command };
    commands().into_iter().map(entry).collect()
}

fn outcomes() -> Vec<Outcome> {
    let (revision, time, fuel) = (Revision::new(7), Timestamp::new(4), Fuel::new(900));
    let version = Version::new(1);
    let results = vec![
        OperationResult::Got(None),
        OperationResult::Got(Some(record())),
        OperationResult::Written { version },
        OperationResult::Granted { lease: LeaseId::new(3) },
    ];
    let conflict = ConflictError {
        key: key("k"),
        expected: Expectation::Absent,
        actual: Actual { version, mod_revision: revision },
        record: Some(record()),
    };
    let values = encode_vals(&vals()).unwrap();
    vec![
        Outcome::SessionOpened { session: SessionId::new(3) },
        Outcome::Committed { revision, time, succeeded: true, results },
        Outcome::Conflict { revision, conflicts: vec![conflict.clone(), conflict] },
        Outcome::Returned { revision, values, fuel, writes: 2 },
        Outcome::Uploaded { component: ComponentHash::new([7; 32]) },
        Outcome::Pointed,
        Outcome::PartStored { bytes: 300 },
        Outcome::NameRemoved { existed: true, components: 300 },
        Outcome::Ticked,
        Outcome::Scheduled { due: time },
        Outcome::Unscheduled { existed: true },
        Outcome::ProfileSwitched { profile: ProfileId::new(300) },
        Outcome::Prepared(Vote {
            prepare_id: 4,
            reads_hold: true,
            then: vec![],
            otherwise: vec![],
        }),
        Outcome::Decided(Decision::Abort),
    ]
}

fn ran_across() -> CommitReply {
    CommitReply::Function(Box::new(FunctionRun {
        named: ComponentRef::Name(Name::new("n").unwrap()),
        key: key("k"),
        component: ComponentHash::new([7; 32]),
        function: "f".into(),
        end: CallEnd::Faulted(GuestFault::OutOfFuel),
        fuel: Fuel::new(300),
        writes: 0,
        log: vec!["line".into(), String::new()],
        micros: 300,
    }))
}

fn requests() -> Vec<Request> {
    let (keys, consistency) = (vec![key("a"), key("b")], Consistency::Stale { max_age_ms: 300 });
    let range = KeyRange { start: "a".into(), end: None };
    let scan = ScanRequest {
        shard: SHARD,
        range,
        reverse: true,
        keys_only: false,
        limit: 300,
        bytes: 400,
        reads: reads(),
        consistency,
        view: Some(ViewId::new(300)),
    };
    let write = |command| Request::Write { shard: SHARD, request: Some(request_id()), command };
    let across =
        Request::Across { shard: SHARD, request: request_id(), transact: Default::default() };
    let is_call = |command| match command {
        Command::Call(call) => Some(call),
        _ => None,
    };
    let call = commands().into_iter().find_map(is_call).unwrap();
    let mut requests: Vec<Request> = commands().into_iter().map(write).collect();
    requests.push(across);
    requests.extend([
        Request::Cluster,
        Request::Get { shard: SHARD, keys, reads: reads(), consistency },
        Request::Scan(scan),
        Request::Lease { shard: SHARD, lease: LeaseId::new(3) },
        Request::Describe { component: "n".parse().unwrap() },
        Request::History { name: Name::new("n").unwrap() },
        Request::Notes { shard: SHARD, after: LogIndex::new(300), of: Some("n".parse().unwrap()) },
        Request::Statistics { shard: SHARD },
        Request::Schedules { shard: SHARD },
        Request::SwitchProfile { shard: SHARD, profile: ProfileId::new(300) },
        Request::Verify { shard: SHARD },
        Request::Verified { shard: SHARD, index: LogIndex::new(300) },
        Request::Place(PlacementChange::AddNode { address: "00@127.0.0.1:4000".into() }),
        Request::Place(PlacementChange::Move {
            shard: SHARD,
            from: Some(NodeId::new(1)),
            to: NodeId::new(2),
        }),
        Request::OpenView { shard: SHARD, range: KeyRange::prefix("k") },
        Request::CloseView { view: ViewId::new(300) },
        Request::Query(Query {
            shard: SHARD,
            call,
            consistency: Consistency::Stale { max_age_ms: 300 },
            dry_run: true,
        }),
    ]);
    requests
}

fn responses() -> Vec<Response> {
    let revision = Revision::new(7);
    let nodes = (1..=4).map(|node| (NodeId::new(node), format!("{node:064x}@127.0.0.1:4000")));
    let placement = Placement::initial(nodes, 2, 3).unwrap();
    let leaders = vec![Some(NodeId::new(1)), None];
    let cluster =
        ClusterInfo { cluster: 300, shards: 2, node: NodeId::new(1), epoch: 3, placement, leaders };
    let item = Item { key: key("a"), record: record() };
    let lease = LeaseInfo { lease: LeaseId::new(3), ttl_ms: 300, left_ms: 2, keys: vec![key("a")] };
    let info = ComponentInfo {
        name: Name::new("n").unwrap(),
        component: ComponentHash::new([7; 32]),
        bytes: 300,
        uploaded: Timestamp::new(4),
        canary: Some((ComponentHash::new([7; 32]), 5)),
    };
    let mut responses = vec![
        Response::Cluster(cluster),
        Response::Outcome(encode(&outcomes()[1])),
        Response::Records { revision, records: vec![None, Some(record())] },
        Response::Page(Page { revision, items: vec![item.clone(), item], more: true }),
        Response::Lease(Some(lease)),
        Response::Components(vec![info]),
        Response::Status(NodeStatus {
            node: NodeId::new(1),
            shards: vec![shard_status()],
            profiles: vec![ProfileId::FIRST],
        }),
        Response::Placed { epoch: 300, node: Some(NodeId::new(1)) },
        Response::Error(ErrorReply::NotLeader { leader: Some((NodeId::new(1), "a".into())) }),
        Response::Error(ErrorReply::NotHere {
            epoch: 300,
            replicas: vec![(NodeId::new(1), "a".into())],
        }),
        Response::View(ViewInfo { view: ViewId::new(300), parts: vec![(SHARD, "a".into())] }),
        Response::ViewClosed,
        Response::Error(ErrorReply::ViewLost),
    ];
    responses.extend(responses_about_functions());
    responses
}

/// Responses about functions, schedules and verification.
fn responses_about_functions() -> Vec<Response> {
    vec![
        Response::Query(QueryReply {
            outcome: outcomes()[1].clone(),
            dry_run: Some(DryRun {
                reads: vec![(key("a"), Version::new(300))],
                more_reads: 300,
                writes: vec![WriteOp::Delete { key: key("b") }],
                log: vec!["line".into()],
            }),
        }),
        Response::History(Alias {
            history: vec![pointed()],
            canary: Some(Canary { pointed: pointed(), percent: 5 }),
        }),
        Response::Notes(vec![CallNote {
            shard: SHARD,
            index: LogIndex::new(300),
            time: Timestamp::new(300),
            caller: Caller::LOCAL,
            named: "n".parse().unwrap(),
            component: ComponentHash::new([7; 32]),
            function: "f".into(),
            ended: CallEndKind::Faulted(GuestFault::OutOfFuel),
            lines: vec!["line".into()],
        }]),
        Response::Statistics(vec![statistics()]),
        Response::Schedules(vec![(Name::new("n").unwrap(), schedule())]),
        Response::Error(ErrorReply::QueryWrites { key: key("a") }),
        Response::Verifying { index: LogIndex::new(300) },
        Response::Verified(Verification::Running { keys: 3, of: 300 }),
        Response::Verified(Verification::Done(StateHash { hash: [7; 32], keys: 3, bytes: 300 })),
        Response::Verified(Verification::Behind { applied: LogIndex::new(299) }),
        Response::Verified(Verification::Unknown),
        Response::Verified(Verification::Failed { reason: "why".into() }),
    ]
}

fn shard_status() -> ReplicaStatus {
    ReplicaStatus {
        shard: SHARD,
        term: 300,
        leader: Some(NodeId::new(1)),
        first: LogIndex::new(2),
        last: LogIndex::new(300),
        applied: LogIndex::new(299),
        snapshot: LogIndex::new(0),
        revision: Revision::new(7),
        digest: Digest::default(),
        keys: 1,
        failed: Some("why".into()),
        warning: Some("n2 differs".into()),
        replicas: vec![(NodeId::new(1), true), (NodeId::new(2), false)],
        bytes: 300,
        rate: 9,
        receiving: Some((3, 300)),
        profile: ProfileId::FIRST,
    }
}

fn pointed() -> AliasTarget {
    AliasTarget {
        component: ComponentHash::new([7; 32]),
        time: Timestamp::new(300),
        caller: Caller::LOCAL,
    }
}

fn schedule() -> Schedule {
    let component = ComponentRef::Hash(ComponentHash::new([7; 32]));
    let (function, args) = ("f".into(), encode_vals(&vals()).unwrap());
    let call = Call { key: key("c"), component, function, args, reads: vec![] };
    let (time, ended) = (Timestamp::new(300), Ok(CallEndKind::Faulted(GuestFault::OutOfFuel)));
    let last = Some(LastRun { time, ended });
    let (caller, due) = (Caller::LOCAL, Timestamp::new(900));
    Schedule { call, caller, due, every_ms: Some(300), runs: 3, last }
}

fn statistics() -> FunctionStatistics {
    let mut statistics = FunctionStatistics::new(ComponentHash::new([7; 32]), "f".into());
    statistics.faulted.push((GuestFault::OutOfFuel, 300));
    statistics.fuel.count(300);
    statistics
}

fn vals() -> Vec<Val> {
    let text = Val::String("text".into());
    let list = Val::List(vec![text.clone(), Val::Option(Some(Box::new(Val::U64(1 << 40))))]);
    vec![text, list, Val::Bool(true)]
}

/// Everything that is promised of bytes that are to be a `T`.
fn check_as<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    bytes: &[u8],
) -> Result<(), TestCaseError> {
    let (asked, decoded) = allocated(|| decode::<T>(bytes));
    prop_assert!(asked <= ASKED_BYTES_MAX, "{asked} bytes asked for, {} there", bytes.len());
    if let Ok(value) = decoded {
        let again = decode::<T>(&encode(&value));
        prop_assert_eq!(again.unwrap(), value);
    }
    Ok(())
}

fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    check_as::<Entry>(bytes)?;
    check_as::<Command>(bytes)?;
    check_as::<Outcome>(bytes)?;
    check_as::<Request>(bytes)?;
    check_as::<Response>(bytes)
}

fn check_vals(bytes: &[u8]) -> Result<(), TestCaseError> {
    let bytes = Bytes::copy_from_slice(bytes);
    let (asked, decoded) = allocated(|| decode_vals(&bytes));
    prop_assert!(asked <= ASKED_BYTES_MAX, "{asked} bytes asked for, {} there", bytes.len());
    if let Ok(vals) = decoded {
        // Floats need not equal themselves: what is written must be.
        let again = encode_vals(&vals).unwrap();
        prop_assert_eq!(encode_vals(&decode_vals(&again).unwrap()).unwrap(), again);
    }
    Ok(())
}

fn encoded<T: Serialize>(all: &[T]) -> Vec<Vec<u8>> {
    all.iter().map(|one| encode(one).to_vec()).collect()
}

fn valid() -> Vec<Vec<u8>> {
    let commands = [encoded(&entries()), encoded(&commands()), encoded(&requests())].concat();
    [commands, encoded(&outcomes()), encoded(&responses())].concat()
}

#[test]
fn fuzz_codec_what_is_mutated_is_valid_before() {
    encoded(&entries()).iter().for_each(|bytes| assert!(decode::<Entry>(bytes).is_ok()));
    encoded(&outcomes()).iter().for_each(|bytes| assert!(decode::<Outcome>(bytes).is_ok()));
    encoded(&requests()).iter().for_each(|bytes| assert!(decode::<Request>(bytes).is_ok()));
    encoded(&responses()).iter().for_each(|bytes| assert!(decode::<Response>(bytes).is_ok()));
    assert_eq!(decode_vals(&encode_vals(&vals()).unwrap()).unwrap(), vals());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60_000))]

    #[test]
    fn fuzz_codec_random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check(&bytes)?;
        check(&[&[2], &bytes[..]].concat())?;
    }

    #[test]
    fn fuzz_codec_mutated_messages(bytes in mutated(valid())) {
        check(&bytes)?;
    }

    #[test]
    fn fuzz_codec_random_values(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check_vals(&bytes)?;
    }

    #[test]
    fn fuzz_codec_mutated_values(bytes in mutated(vec![encode_vals(&vals()).unwrap().to_vec()])) {
        check_vals(&bytes)?;
    }
}
