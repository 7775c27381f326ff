//! Calls of functions: through the log, as a query, or as a dry run.
//!
//! Promises that a call is applied exactly once; queries and dry runs change nothing. Leaves out the
//! components that are called (`functions/aliases.rs`, `functions/upload.rs`).

use aspen_core::function::Call;
use aspen_core::ids::{ComponentRef, Fuel, Revision};
use aspen_core::protocol::{
    Command, Consistency, DryRun, Outcome, Query, QueryReply as CoreQueryReply, Request, Response,
};
use aspen_core::transaction::Read;
use aspen_core::val::{Val, decode_vals, encode_vals};
use bytes::Bytes;
use snafu::{OptionExt, ensure};

use crate::arguments::to_key;
use crate::client::Client;
use crate::error::*;

/// The result of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallReply {
    /// The value returned; of a `result` type the payload of `ok`.
    pub value: Option<Val>,
    /// The shard's revision after it.
    pub revision: Revision,
    /// Fuel used.
    pub fuel: Fuel,
    /// Keys written.
    pub writes: u32,
}

/// The result of a function that changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryReply {
    /// The value returned; of a `result` type the payload of `ok`.
    pub value: Option<Val>,
    /// The shard's revision that the function saw.
    pub revision: Revision,
    /// Fuel used.
    pub fuel: Fuel,
}

/// The result that a call would have had.
#[derive(Debug)]
pub struct DryRunReply {
    /// The reply. Its revision is the one that the writes would have had.
    pub reply: Result<CallReply, CallError>,
    /// The keys that the function read, its writes, and its log lines.
    pub did: DryRun,
}

impl Client {
    /// Calls a function of the component with this name, on the shard where `key` lives. A text like
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

    /// Calls a function if every one of `reads` still holds.
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
        reply(self.propose(shard, &Command::Call(call)).await?)
    }

    /// Calls a function that may touch keys of any shard; the shard of `key` coordinates.
    ///
    /// The function runs outside the log on the present state, and commits as a transaction across
    /// shards; it runs again while its reads change. The call is applied exactly once and at one moment
    /// like any other call, but more slowly, and under contention it may give up. A range that it scans is
    /// read on all shards, up to 16, unless a whole `{tag}` keeps it on one.
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
        reply(self.propose_as(shard, across).await?)
    }

    /// Runs a function that only reads, on the state of the shard where `key` lives, without the log.
    ///
    /// A function that writes is refused ([`aspen_core::protocol::ErrorReply::QueryWrites`]). With [`crate::stale`]
    /// any replica of the shard answers.
    pub async fn query(
        &self,
        component: &str,
        function: &str,
        key: impl AsRef<[u8]>,
        args: &[Val],
        consistency: Consistency,
    ) -> Result<QueryReply, CallError> {
        let call = to_call(to_component(component)?, function, key, args, vec![])?;
        let ran = self.run_query(call, consistency, false).await?;
        let CallReply { value, revision, fuel, .. } = reply(ran.outcome)?;
        Ok(QueryReply { value, revision, fuel })
    }

    /// Returns the result that a call would have now, and all that it would do; nothing changes.
    pub async fn dry_run(
        &self,
        component: &str,
        function: &str,
        key: impl AsRef<[u8]>,
        args: &[Val],
    ) -> Result<DryRunReply, CallError> {
        let call = to_call(to_component(component)?, function, key, args, vec![])?;
        let ran = self.run_query(call, Consistency::Linearizable, true).await?;
        match ran.dry_run {
            Some(did) => Ok(DryRunReply { reply: reply(ran.outcome), did }),
            // Only a refusal comes without it.
            None => reply(ran.outcome).and(Err(RequestError::Protocol.into())),
        }
    }

    async fn run_query(
        &self,
        call: Call,
        consistency: Consistency,
        dry_run: bool,
    ) -> Result<CoreQueryReply, RequestError> {
        let shard = self.router().shard(call.key.as_bytes());
        let request = Request::Query(Query { shard, call, consistency, dry_run });
        match self.ask_for(shard, &request, consistency).await? {
            Response::Query(ran) => Ok(ran),
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

fn reply(outcome: Outcome) -> Result<CallReply, CallError> {
    match outcome {
        Outcome::Returned { revision, values, fuel, writes } => {
            Ok(CallReply { value: one(&values)?, revision, fuel, writes })
        }
        Outcome::Aborted { error, fuel } => AbortedSnafu { error: one(&error)?, fuel }.fail(),
        Outcome::Faulted { fault, fuel } => FaultedSnafu { fault, fuel }.fail(),
        Outcome::Conflict { conflicts, .. } => CallConflictSnafu { conflicts }.fail(),
        Outcome::Refused(refusal) => CallRefusalSnafu { refusal }.fail(),
        _ => Err(RequestError::Protocol.into()),
    }
}
