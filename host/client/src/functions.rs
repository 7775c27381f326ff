//! Functions: naming components, asking what they have, calling, querying, trying.

use aspen_core::{
    Alias, Call, Command, ComponentHash, ComponentInfo, ComponentRef, Consistency, DryRun, Fuel,
    Manifest, Name, Outcome, Queried, Query, Read, Request, Response, Revision, ShardId, Val,
    decode_vals, encode_vals,
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

/// What a function returned that changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryReply {
    /// Its result; of a `result` type the payload of `ok`.
    pub value: Option<Val>,
    /// The shard's revision that it saw.
    pub revision: Revision,
    /// Fuel it used.
    pub fuel: Fuel,
}

/// What a call would have come to.
#[derive(Debug)]
pub struct DryRunReply {
    /// Its answer. The revision is what its writes would have had.
    pub reply: Result<CallReply, CallError>,
    /// The keys it looked at, its writes, and its log lines.
    pub did: DryRun,
}

impl Client {
    /// Points a name to a component that is there, on every shard.
    pub async fn point(&self, name: &str, component: ComponentHash) -> Result<(), WriteError> {
        let name = Name::new(name).map_err(Invalid::from)?;
        for shard in self.router().all() {
            let point = Command::Point { name: name.clone(), component };
            match self.propose(shard, &point).await? {
                Outcome::Pointed => {}
                Outcome::Refused(refusal) => return RefusalSnafu { refusal }.fail(),
                _ => return Err(ProtocolSnafu.build().into()),
            }
        }
        Ok(())
    }

    /// Removes a name from every shard, and the components that no other name has or had. False if
    /// there is no such name.
    pub async fn remove_name(&self, name: &str) -> Result<bool, WriteError> {
        let name = Name::new(name).map_err(Invalid::from)?;
        let mut was_there = false;
        for shard in self.router().all() {
            match self.propose(shard, &Command::RemoveName { name: name.clone() }).await? {
                Outcome::NameRemoved { existed, .. } => was_there |= existed,
                Outcome::Refused(refusal) => return RefusalSnafu { refusal }.fail(),
                _ => return Err(ProtocolSnafu.build().into()),
            }
        }
        Ok(was_there)
    }

    /// Sends of a hundred tags of keys so many (1 to 100) to another component that is there, by name,
    /// on every shard; `None` ends it, as [`Self::point`] and [`Self::upload`] do. Calls whose keys
    /// have one tag always go to the same component.
    pub async fn canary(
        &self,
        name: &str,
        share: Option<(ComponentHash, u8)>,
    ) -> Result<(), WriteError> {
        let name = Name::new(name).map_err(Invalid::from)?;
        for shard in self.router().all() {
            let canary = Command::Canary { name: name.clone(), canary: share };
            match self.propose(shard, &canary).await? {
                Outcome::Pointed => {}
                Outcome::Refused(refusal) => return RefusalSnafu { refusal }.fail(),
                _ => return Err(ProtocolSnafu.build().into()),
            }
        }
        Ok(())
    }

    /// What a name points to and pointed to.
    pub async fn history(&self, name: &str) -> Result<Alias, RequestError> {
        let name = Name::new(name).map_err(Invalid::from)?;
        match self.ask(ShardId::new(0), &Request::History { name }).await? {
            Response::History(alias) if !alias.history.is_empty() => Ok(alias),
            _ => ProtocolSnafu.fail(),
        }
    }

    /// Calls a function: `component` by name, on the shard where `key` lives. A text like
    /// `sha256:9f86d0...` names one component and no other.
    pub async fn call(
        &self,
        component: &str,
        function: &str,
        key: impl AsRef<[u8]>,
        args: &[Val],
    ) -> Result<CallReply, CallError> {
        self.call_if(to_component(component)?, function, key, args, vec![]).await
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
    /// and under contention it may give up. A range that it scans is read on all shards, up to 16, unless
    /// a whole `{tag}` keeps it on one.
    pub async fn call_across(
        &self,
        component: &str,
        function: &str,
        key: impl AsRef<[u8]>,
        args: &[Val],
    ) -> Result<CallReply, CallError> {
        let call = to_call(to_component(component)?, function, key, args, vec![])?;
        let shard = self.router().shard(call.key.as_bytes());
        let across = |request| Request::CallAcross { shard, request, call: call.clone() };
        answer(self.propose_as(shard, across).await?)
    }

    /// Runs a function that only reads, on the state of the shard where `key` lives, without the log.
    ///
    /// One that writes is refused ([`aspen_core::Refused::QueryWrites`]). With [`crate::stale`] any
    /// replica of the shard answers.
    pub async fn query(
        &self,
        component: &str,
        function: &str,
        key: impl AsRef<[u8]>,
        args: &[Val],
        consistency: Consistency,
    ) -> Result<QueryReply, CallError> {
        let call = to_call(to_component(component)?, function, key, args, vec![])?;
        let queried = self.queried(call, consistency, false).await?;
        let CallReply { value, revision, fuel, .. } = answer(queried.outcome)?;
        Ok(QueryReply { value, revision, fuel })
    }

    /// What a call would come to now, and all that it would do; nothing changes.
    pub async fn dry_run(
        &self,
        component: &str,
        function: &str,
        key: impl AsRef<[u8]>,
        args: &[Val],
    ) -> Result<DryRunReply, CallError> {
        let call = to_call(to_component(component)?, function, key, args, vec![])?;
        let queried = self.queried(call, Consistency::Linearizable, true).await?;
        match queried.dry_run {
            Some(did) => Ok(DryRunReply { reply: answer(queried.outcome), did }),
            // Only a refusal comes without.
            None => answer(queried.outcome).and(Err(ProtocolSnafu.build().into())),
        }
    }

    async fn queried(
        &self,
        call: Call,
        consistency: Consistency,
        dry_run: bool,
    ) -> Result<Queried, RequestError> {
        let shard = self.router().shard(call.key.as_bytes());
        let request = Request::Query(Query { shard, call, consistency, dry_run });
        match self.ask_for(shard, &request, consistency).await? {
            Response::Queried(queried) => Ok(queried),
            _ => ProtocolSnafu.fail(),
        }
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
    pub async fn describe(&self, component: &str) -> Result<Manifest, RequestError> {
        let request = Request::Describe { component: to_component(component)? };
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

pub(crate) fn to_component(text: &str) -> Result<ComponentRef, Invalid> {
    text.parse().map_err(Invalid::from)
}

pub(crate) fn to_call(
    component: ComponentRef,
    function: &str,
    key: impl AsRef<[u8]>,
    args: &[Val],
    reads: Vec<Read>,
) -> Result<Call, Invalid> {
    let (key, function) = (to_key(key)?, function.into());
    let args = encode_vals(args)?;
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
