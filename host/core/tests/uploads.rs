//! Uploads in parts: in order, by the client that began them, whole or not at all.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unreachable,
    reason = "a test fails by a panic, also in its helper functions"
)]

mod shard;

use aspen_core::apply::apply;
use aspen_core::codec::decode;
use aspen_core::ids::{Caller, ComponentHash, Name, ShardId, Timestamp};
use aspen_core::limits::{
    COMPONENT_BYTES_MAX, LARGE_COMPONENT_BYTES_MAX, LARGE_COMPONENTS_MAX, UPLOAD_IDLE_MS,
    UPLOAD_PART_BYTES_MAX, UPLOADS_MAX,
};
use aspen_core::protocol::{Command, Entry, Outcome, UploadPart};
use aspen_core::refusal::Refusal;
use aspen_core::state::State;
use aspen_core::view::Components;
use bytes::Bytes;
use shard::{Native, Shard, set};

/// Bytes of the large class, different for each `n`.
fn large(n: u8) -> Bytes {
    vec![n; COMPONENT_BYTES_MAX + 300].into()
}

fn part(whole: &Bytes, offset: usize) -> Command {
    let end = whole.len().min(offset + UPLOAD_PART_BYTES_MAX);
    Command::UploadPart(UploadPart {
        component: ComponentHash::of(whole),
        total: whole.len() as u64,
        offset: offset as u64,
        bytes: whole.slice(offset.min(end)..end),
    })
}

fn finish(name: &str, whole: &Bytes) -> Command {
    let component = ComponentHash::of(whole);
    Command::FinishUpload { name: Name::new(name).unwrap(), component }
}

fn stored(bytes: usize) -> Outcome {
    Outcome::PartStored { bytes: bytes as u64 }
}

fn send(shard: &mut Shard, whole: &Bytes) {
    for offset in (0..whole.len()).step_by(UPLOAD_PART_BYTES_MAX) {
        let there = whole.len().min(offset + UPLOAD_PART_BYTES_MAX);
        assert_eq!(shard.run(part(whole, offset)), stored(there));
    }
}

fn upload(shard: &mut Shard, name: &str, whole: &Bytes) -> Outcome {
    send(shard, whole);
    shard.run(finish(name, whole))
}

#[test]
fn parts_become_the_component_and_go() {
    let mut shard = Shard::new();
    let whole = large(1);
    let component = ComponentHash::of(&whole);
    assert_eq!(upload(&mut shard, "bank", &whole), Outcome::Uploaded { component });
    assert_eq!(shard.model.component(&component).unwrap().unwrap(), whole);
    assert_eq!(shard.model.resident().uploads.parts().count(), 0);
    assert_eq!(shard.model.header().large_components, 1);
    // Under another name no part is needed.
    assert_eq!(shard.run(finish("shop", &whole)), Outcome::Pointed);
    for name in ["bank", "shop"] {
        shard.run(Command::RemoveName { name: Name::new(name).unwrap() });
    }
    assert!(shard.model.component(&component).unwrap().is_none());
    assert_eq!(shard.model.header().large_components, 0);
}

#[test]
fn part_out_of_order_changes_nothing_and_says_where_to_go_on() {
    let mut shard = Shard::new();
    let whole = large(1);
    let mib = UPLOAD_PART_BYTES_MAX;
    assert_eq!(shard.run(part(&whole, mib)), stored(0));
    assert_eq!(shard.run(finish("bank", &whole)), Outcome::Refused(Refusal::UploadIncomplete));
    assert_eq!(shard.run(part(&whole, 0)), stored(mib));
    assert_eq!(shard.run(part(&whole, 0)), stored(mib), "again");
    assert_eq!(shard.run(part(&whole, 2 * mib)), stored(mib), "one is missing");
    assert_eq!(shard.run(part(&whole, mib)), stored(2 * mib));
    assert_eq!(shard.run(finish("bank", &whole)), Outcome::Refused(Refusal::UploadIncomplete));
    let (component, total) = (ComponentHash::of(&whole), whole.len() as u64);
    let offset = 2 * mib as u64;
    let bytes = Bytes::from(vec![1; 301]);
    let beyond = Command::UploadPart(UploadPart { component, total, offset, bytes });
    assert_eq!(shard.run(beyond), stored(2 * mib), "more than the whole");
    assert_eq!(shard.run(part(&whole, 2 * mib)), stored(whole.len()));
    assert_eq!(shard.run(finish("bank", &whole)), Outcome::Uploaded { component });
}

#[test]
fn wrong_bytes_are_refused_and_leave_nothing() {
    let mut shard = Shard::new();
    let whole = large(1);
    let component = ComponentHash::of(b"something else");
    for offset in (0..whole.len()).step_by(UPLOAD_PART_BYTES_MAX) {
        let Command::UploadPart(part) = part(&whole, offset) else { unreachable!() };
        shard.run(Command::UploadPart(UploadPart { component, ..part }));
    }
    let finish = Command::FinishUpload { name: Name::new("bank").unwrap(), component };
    assert_eq!(shard.run(finish), Outcome::Refused(Refusal::UploadIncomplete));
    assert_eq!(shard.model.resident().uploads.parts().count(), 0);
    assert!(shard.model.alias(&Name::new("bank").unwrap()).unwrap().is_none());
}

#[test]
fn interrupted_upload_is_gone_after_its_time() {
    let mut shard = Shard::new();
    let whole = large(1);
    shard.run(part(&whole, 0));
    let due = shard.clock + UPLOAD_IDLE_MS;
    assert_eq!(shard.model.resident().next_due(), Some(Timestamp::new(due)));
    shard.clock = due - 1;
    shard.run(Command::Tick);
    assert_eq!(shard.model.resident().uploads.parts().count(), 1);
    // A part that comes twice is a sign of life too.
    shard.run(part(&whole, 0));
    shard.clock = due;
    shard.run(Command::Tick);
    assert_eq!(shard.model.resident().uploads.parts().count(), 1);
    shard.clock = due - 1 + UPLOAD_IDLE_MS;
    // Any entry ends it, whatever else it does.
    shard.transact(vec![], vec![set("a", "1")]);
    assert_eq!(shard.model.resident().uploads.parts().count(), 0);
    assert_eq!(shard.model.resident().next_due(), None);
    assert_eq!(shard.run(part(&whole, UPLOAD_PART_BYTES_MAX)), stored(0), "begins anew");
}

#[test]
fn upload_belongs_to_who_began_it() {
    let mut shard = Shard::new();
    let whole = large(1);
    send(&mut shard, &whole);
    let stranger = Entry {
        stamp: Timestamp::new(shard.clock),
        seed: 1,
        caller: Caller::new([9; 32]),
        request: None,
        command: finish("bank", &whole),
    };
    let applied = apply(&mut shard.model, &Native, ShardId::new(0), shard.router, &stranger);
    let outcome: Outcome = decode(&applied.unwrap().outcome).unwrap();
    assert_eq!(outcome, Outcome::Refused(Refusal::UploadIncomplete));
    let component = ComponentHash::of(&whole);
    assert_eq!(shard.run(finish("bank", &whole)), Outcome::Uploaded { component });
}

#[test]
fn part_is_no_component_that_can_be_called() {
    let mut shard = Shard::new();
    shard.run(part(&large(1), 0));
    let row = *shard.model.resident().uploads.parts().next().unwrap();
    let bytes = shard.model.component(&row).unwrap().unwrap();
    assert!(!bytes.starts_with(b"\0asm"));
    let name = Name::new("bank").unwrap();
    let point = shard.run(Command::Point { name: name.clone(), component: row });
    assert_eq!(point, Outcome::Refused(Refusal::ComponentUnknown));
    let canary = Command::Canary { name: Name::new("native").unwrap(), canary: Some((row, 50)) };
    assert_eq!(shard.run(canary), Outcome::Refused(Refusal::ComponentUnknown));
}

#[test]
fn uploads_and_large_components_have_a_limit() {
    let mut shard = Shard::new();
    let total = LARGE_COMPONENT_BYTES_MAX as u64 + 1;
    let Command::UploadPart(first) = part(&large(0), 0) else { unreachable!() };
    let too_large = Command::UploadPart(UploadPart { total, ..first });
    let refusal = Refusal::ComponentTooLarge { bytes: total };
    assert_eq!(shard.run(too_large), Outcome::Refused(refusal));
    for n in 0..UPLOADS_MAX as u8 {
        assert_eq!(shard.run(part(&large(n), 0)), stored(UPLOAD_PART_BYTES_MAX));
    }
    let more = shard.run(part(&large(99), 0));
    assert_eq!(more, Outcome::Refused(Refusal::TooManyUploads));
    shard.clock += UPLOAD_IDLE_MS;
    shard.run(Command::Tick);
    for n in 0..LARGE_COMPONENTS_MAX as u8 {
        let name = format!("name-{n}");
        assert!(matches!(upload(&mut shard, &name, &large(n)), Outcome::Uploaded { .. }));
    }
    let more = upload(&mut shard, "more", &large(99));
    assert_eq!(more, Outcome::Refused(Refusal::TooManyComponents));
    assert_eq!(shard.model.resident().uploads.parts().count(), 0);
}
