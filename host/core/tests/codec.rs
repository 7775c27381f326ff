//! Golden vectors: the bytes of entries, outcomes and messages. Stored logs and running clusters
//! hold these; a failing one means that an older program cannot be read any more.

use aspen_core::{
    Call, Caller, Command, ComponentHash, ComponentRef, Entry, Expectation, Fuel, GuestFault, Key,
    Name, Outcome, Read, Refusal, Request, RequestId, Response, Revision, SessionId, ShardId,
    Timestamp, Transact, Upload, Value, Version, WriteOp, decode, encode,
};
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

fn commands() -> [Command; 4] {
    let read = |expected| Read { key: key("k"), expected };
    let reads = vec![
        read(Expectation::Absent),
        read(Expectation::Version(Version::new(1))),
        read(Expectation::ModRevision(Revision::new(2))),
    ];
    let set = WriteOp::Set { key: key("a"), value: Value::try_from("v").unwrap() };
    let writes = vec![set, WriteOp::Delete { key: key("b") }];
    let component = ComponentRef::Name(Name::new("bank").unwrap());
    let args = Bytes::from_static(&[1, 0]);
    let call = Call { key: key("c"), component, function: "f".into(), args, reads: vec![] };
    let upload = Upload { name: Name::new("n").unwrap(), bytes: Bytes::from_static(b"w") };
    [
        Command::OpenSession,
        Command::Transact(Transact { reads, writes }),
        Command::Call(call),
        Command::Upload(upload),
    ]
}

#[test]
fn entries_are_pinned() {
    // form 1, stamp 300, seed 5, caller, session 1, sequence 2, acknowledged 1, then the command
    let start = format!("01ac0205{}01010201", "00".repeat(32));
    let tails = [
        "00",
        "0103016b00016b0101016b0202020001610176010162",
        "020163000462616e6b016602010000",
        "03016e0177",
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
    check(Outcome::SessionOpened { session: SessionId::new(3) }, "010003");
    let (time, versions) = (Timestamp::new(4), vec![Version::new(1)]);
    check(Outcome::Committed { revision, time, versions }, "010107040101");
    check(Outcome::Conflict { conflicts: vec![] }, "010200");
    check(
        Outcome::Returned { revision, values: none.clone(), fuel, writes: 2 },
        "0103070201000902",
    );
    check(Outcome::Aborted { error: none, fuel }, "010402010009");
    check(Outcome::Faulted { fault: GuestFault::Trap, fuel }, "01050b09");
    let component = ComponentHash::new([0; 32]);
    check(Outcome::Uploaded { component }, &format!("0106{}", "00".repeat(32)));
    check(Outcome::Refused(Refusal::WrongShard { shard: ShardId::new(2) }), "01070a02");
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
    let good = encode(&Request::Get { shard, keys: vec![key(&"k".repeat(1024))] });
    assert!(decode::<Request>(&good).is_ok());
    // The same message with one byte more in the key: its length prefix and the byte itself.
    let mut bad = good.to_vec();
    bad[4] += 1;
    bad.push(b'k');
    assert!(decode::<Request>(&bad).is_err());
}

proptest! {
    /// Whatever comes in, decoding ends in a message or an error, and a message encodes again.
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let bytes = [vec![1], bytes].concat();
        if let Ok(request) = decode::<Request>(&bytes) {
            prop_assert_eq!(decode::<Request>(&encode(&request)).unwrap(), request);
        }
        let _ = decode::<Response>(&bytes);
        let _ = decode::<Entry>(&bytes);
        let _ = aspen_core::decode_vals(&bytes.into());
    }
}
