//! The profile of functions in the state alone: who cannot run it applies nothing.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unreachable,
    reason = "a test fails by a panic, also in its helper functions"
)]

mod shard;

use std::error::Error;

use aspen_core::ids::ProfileId;
use aspen_core::protocol::{Command, Outcome};
use aspen_core::state::State;
use shard::{NEWEST_PROFILE, Shard, set};

#[test]
fn profile_is_switched_by_an_entry_and_is_part_of_the_digest() {
    let (mut shard, mut other) = (Shard::new(), Shard::new());
    assert_eq!(shard.model.header().profile, ProfileId::FIRST);
    let switched = shard.entry(None, Command::SwitchProfile(NEWEST_PROFILE));
    assert_eq!(switched, Outcome::ProfileSwitched { profile: NEWEST_PROFILE });
    assert_eq!(shard.model.header().profile, NEWEST_PROFILE);
    assert!(matches!(shard.call("append"), Outcome::Returned { .. }));
    other.entry(None, Command::SwitchProfile(ProfileId::FIRST));
    other.call("append");
    assert_ne!(shard.model.header().digest, other.model.header().digest);
    // Back again is a switch like any other.
    shard.entry(None, Command::SwitchProfile(ProfileId::FIRST));
    assert_eq!(shard.model.header().profile, ProfileId::FIRST);
}

#[test]
fn profile_that_the_program_does_not_know_is_a_fault_of_the_host() {
    let mut shard = Shard::new();
    let unknown = ProfileId::new(NEWEST_PROFILE.get() + 1);
    let told = |fault: aspen_core::view::HostError| fault.source().unwrap().to_string();
    let fault = shard.try_entry(None, Command::SwitchProfile(unknown)).unwrap_err();
    let wanted = format!(
        "the shard's functions run with {unknown}, which this program does not know: \
         install a newer version of Aspen"
    );
    assert_eq!(told(fault), wanted);
    // A state that a newer program left: not even an entry that calls nothing is applied.
    let header = aspen_core::state::Header { profile: unknown, ..shard.model.header() };
    shard.model.set_header(header);
    let transact = aspen_core::transaction::Transact::writes(vec![set("k", "v")]);
    let fault = shard.try_entry(None, Command::Transact(transact)).unwrap_err();
    assert_eq!(told(fault), wanted);
}
