//! A shard under test: the model, native functions, one open session.

#![allow(dead_code, reason = "each test file uses another part")]

use aspen_core::apply::apply;
use aspen_core::codec::decode;
use aspen_core::function::{Call, CallEnd, CallInput, CallResult, Functions, GuestFault};
use aspen_core::ids::{
    Caller, ComponentHash, ComponentRef, Fuel, Name, ProfileId, RequestId, SessionId, ShardId,
    Timestamp,
};
use aspen_core::key::{Key, Value};
use aspen_core::placement::ShardRouter;
use aspen_core::protocol::{Command, Entry, Outcome, Upload};
use aspen_core::refusal::Refusal;
use aspen_core::state::{Model, State};
use aspen_core::transaction::{Expectation, OperationResult, Read, Transact, WriteOp};
use aspen_core::val::encode_vals;
use aspen_core::view::{HostError, View};
use bytes::Bytes;

/// Stands for the component of [`Native`].
const NATIVE: &[u8] = b"native";

/// The newest profile that [`Native`] knows.
pub const NEWEST_PROFILE: ProfileId = ProfileId::new(ProfileId::FIRST.get() + 1);

/// Functions as native code: `append` appends its input's bytes, the others end as they are named.
pub struct Native;

impl Functions for Native {
    fn call(&self, view: &dyn View, input: &CallInput<'_>) -> Result<CallResult, HostError> {
        let key = key("log");
        let (end, writes) = match input.function {
            "append" => {
                let before = view.get(&key)?.map(|record| record.value);
                let before = before.as_ref().map_or(&b""[..], |value| value.as_bytes());
                let value = value_of([before, b"x"].concat());
                let end = CallEnd::Returned(encode_vals(&[]).unwrap());
                (end, vec![WriteOp::set(key, value)])
            }
            "abort" => (CallEnd::Aborted(encode_vals(&[]).unwrap()), vec![]),
            "fault" => (CallEnd::Faulted(GuestFault::OutOfFuel), vec![]),
            "break" => return Err(HostError::new("reading a key", "the disk is gone")),
            _ => (CallEnd::Refused(Refusal::FunctionUnknown), vec![]),
        };
        Ok(CallResult { end, fuel: Fuel::new(7), writes, log: vec![] })
    }

    fn runs(&self, profile: ProfileId) -> bool {
        profile <= NEWEST_PROFILE
    }

    fn prepare(&self, _component: &ComponentHash, _bytes: &Bytes) {}
}

pub fn key(text: &str) -> Key {
    Key::try_from(text).unwrap()
}

pub fn value_of(bytes: impl Into<Bytes>) -> Value {
    Value::new(bytes).unwrap()
}

pub fn set(text: &str, value: &str) -> WriteOp {
    WriteOp::set(key(text), Value::try_from(value).unwrap())
}

pub fn delete(text: &str) -> WriteOp {
    WriteOp::Delete { key: key(text) }
}

pub fn read(text: &str, expected: Expectation) -> Read {
    Read::Key { key: key(text), expected }
}

/// A shard under test, with one session open.
pub struct Shard {
    pub model: Model,
    pub router: ShardRouter,
    pub clock: u64,
    pub sequence: u64,
}

impl Shard {
    pub fn new() -> Self {
        Self::of(1)
    }

    pub fn of(shards: u16) -> Self {
        let router = ShardRouter::new(shards).unwrap();
        let mut shard = Self { model: Model::new(), router, clock: 1_000, sequence: 0 };
        let opened = shard.entry(None, Command::OpenSession);
        assert_eq!(opened, Outcome::SessionOpened { session: SessionId::new(1) });
        let (name, bytes) = (Name::new("native").unwrap(), Bytes::from_static(NATIVE));
        shard.entry(None, Command::Upload(Upload { name, bytes }));
        shard
    }

    pub fn entry(&mut self, request: Option<RequestId>, command: Command) -> Outcome {
        self.try_entry(request, command).unwrap()
    }

    pub fn try_entry(
        &mut self,
        request: Option<RequestId>,
        command: Command,
    ) -> Result<Outcome, HostError> {
        let (stamp, caller) = (Timestamp::new(self.clock), Caller::LOCAL);
        let entry = Entry { stamp, seed: 1, caller, request, command };
        let applied = apply(&mut self.model, &Native, ShardId::new(0), self.router, &entry)?;
        self.model.check();
        Ok(decode(&applied.outcome).unwrap())
    }

    pub fn next(&mut self) -> Option<RequestId> {
        self.sequence += 1;
        Some(request(self.sequence))
    }

    pub fn run(&mut self, command: Command) -> Outcome {
        let request = self.next();
        self.entry(request, command)
    }

    pub fn transact(&mut self, reads: Vec<Read>, writes: Vec<WriteOp>) -> Outcome {
        self.run(Command::Transact(Transact { reads, ..Transact::writes(writes) }))
    }

    pub fn call(&mut self, function: &str) -> Outcome {
        self.run(call(function))
    }

    /// `version create-revision mod-revision` of a key.
    pub fn numbers(&self, text: &str) -> Option<[u64; 3]> {
        let record = self.model.get(&key(text)).unwrap()?;
        Some([record.version.get(), record.create_revision.get(), record.mod_revision.get()])
    }

    pub fn revision(&self) -> u64 {
        self.model.header().revision.get()
    }
}

pub fn request(sequence: u64) -> RequestId {
    RequestId { session: SessionId::new(1), sequence, acknowledged: 0 }
}

pub fn call(function: &str) -> Command {
    let component = ComponentRef::Hash(ComponentHash::of(NATIVE));
    let args = encode_vals(&[]).unwrap();
    Command::Call(Call {
        key: key("log"),
        component,
        function: function.into(),
        args,
        reads: vec![],
    })
}

pub fn versions(outcome: Outcome) -> Vec<u64> {
    let Outcome::Committed { results, .. } = outcome else { panic!("{outcome:?}") };
    let version = |result| match result {
        OperationResult::Written { version } | OperationResult::Deleted { version } => {
            version.get()
        }
        other => panic!("{other:?}"),
    };
    results.into_iter().map(version).collect()
}
