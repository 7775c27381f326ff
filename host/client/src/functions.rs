//! Functions: uploading components, asking what they have, calling.

use aspen_core::limits::COMPONENT_BYTES_MAX;
use aspen_core::{
    Call, Command, ComponentHash, ComponentInfo, ComponentRef, Fuel, Manifest, Name, Outcome, Read,
    Request, Response, Revision, ShardId, Upload, Val, decode_vals, encode_vals,
};
use bytes::Bytes;
use snafu::{OptionExt, ensure};

use crate::client::{Client, to_key};
use crate::error::*;

/// What a function returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallReply {
    /// Its result; of a `result` type the payload of `ok`.
    pub value: Option<Val>,
    /// The shard's revision after it.
    pub revision: Revision,
    /// Fuel it used.
    pub fuel: Fuel,
    /// Keys it wrote.
    pub writes: u32,
}

impl Client {
    /// Stores a component on every shard and points `name` to it.
    pub async fn upload(
        &self,
        name: &str,
        component: impl Into<Bytes>,
    ) -> Result<ComponentHash, WriteError> {
        let name = Name::new(name).map_err(Invalid::from)?;
        let bytes: Bytes = component.into();
        let limit = COMPONENT_BYTES_MAX;
        ensure!(bytes.len() <= limit, ComponentSnafu { bytes: bytes.len(), limit });
        let hash = ComponentHash::of(&bytes);
        for shard in self.router().all() {
            let upload = Upload { name: name.clone(), bytes: bytes.clone() };
            match self.propose(shard, &Command::Upload(upload)).await? {
                Outcome::Uploaded { component } if component == hash => {}
                Outcome::Refused(refusal) => return RefusalSnafu { refusal }.fail(),
                _ => return Err(ProtocolSnafu.build().into()),
            }
        }
        Ok(hash)
    }

    /// Calls a function: `component` by name, on the shard where `key` lives.
    pub async fn call(
        &self,
        component: &str,
        function: &str,
        key: impl AsRef<[u8]>,
        args: &[Val],
    ) -> Result<CallReply, CallError> {
        let name = Name::new(component).map_err(Invalid::from)?;
        self.call_if(ComponentRef::Name(name), function, key, args, vec![]).await
    }

    /// Calls a function that runs only if every one of `reads` still holds.
    pub async fn call_if(
        &self,
        component: ComponentRef,
        function: &str,
        key: impl AsRef<[u8]>,
        args: &[Val],
        reads: Vec<Read>,
    ) -> Result<CallReply, CallError> {
        let call = to_call(component, function, key, args, reads)?;
        let shard = self.router().shard(call.key.as_bytes());
        answer(self.propose(shard, &Command::Call(call)).await?)
    }

    /// Calls a function that may touch keys of any shard; the shard of `key` coordinates.
    ///
    /// It runs beside the log on what is there, and commits as a transaction across shards, repeated
    /// while what it read changes: exactly once and at one moment like any other call, but slower,
    /// and under contention it may give up. A range that it scans must lie on one shard.
    pub async fn call_across(
        &self,
        component: &str,
        function: &str,
        key: impl AsRef<[u8]>,
        args: &[Val],
    ) -> Result<CallReply, CallError> {
        let name = Name::new(component).map_err(Invalid::from)?;
        let call = to_call(ComponentRef::Name(name), function, key, args, vec![])?;
        let shard = self.router().shard(call.key.as_bytes());
        let across = |request| Request::CallAcross { shard, request, call: call.clone() };
        answer(self.propose_as(shard, across).await?)
    }

    /// The names that components were uploaded under.
    pub async fn components(&self) -> Result<Vec<ComponentInfo>, RequestError> {
        let shard = ShardId::new(0);
        match self.ask(shard, &Request::Components).await? {
            Response::Components(components) => Ok(components),
            _ => ProtocolSnafu.fail(),
        }
    }

    /// The functions of a component, with their types.
    pub async fn describe(&self, name: &str) -> Result<Manifest, RequestError> {
        let name = Name::new(name).map_err(Invalid::from)?;
        let request = Request::Describe { name };
        let shard = ShardId::new(0);
        match self.ask(shard, &request).await? {
            Response::Manifest(manifest) => Ok(manifest),
            _ => ProtocolSnafu.fail(),
        }
    }
}

fn one(values: &Bytes) -> Result<Option<Val>, RequestError> {
    let mut values = decode_vals(values).ok().context(ProtocolSnafu)?;
    ensure!(values.len() <= 1, ProtocolSnafu);
    Ok(values.pop())
}

fn to_call(
    component: ComponentRef,
    function: &str,
    key: impl AsRef<[u8]>,
    args: &[Val],
    reads: Vec<Read>,
) -> Result<Call, CallError> {
    let (key, function) = (to_key(key)?, function.into());
    let args = encode_vals(args).map_err(Invalid::from)?;
    Ok(Call { key, component, function, args, reads })
}

fn answer(outcome: Outcome) -> Result<CallReply, CallError> {
    match outcome {
        Outcome::Returned { revision, values, fuel, writes } => {
            Ok(CallReply { value: one(&values)?, revision, fuel, writes })
        }
        Outcome::Aborted { error, fuel } => AbortedSnafu { error: one(&error)?, fuel }.fail(),
        Outcome::Faulted { fault, fuel } => FaultedSnafu { fault, fuel }.fail(),
        Outcome::Conflict { conflicts, .. } => CallConflictSnafu { conflicts }.fail(),
        Outcome::Refused(refusal) => CallRefusalSnafu { refusal }.fail(),
        _ => Err(ProtocolSnafu.build().into()),
    }
}
