//! A typed call: its arguments, its key, and the ways to run it.

use std::convert::Infallible;
use std::fmt::Debug;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;

use aspen_core::ids::{Fuel, Revision};
use aspen_core::protocol::{Consistency, DryRun};
use aspen_core::refusal::Refusal;
use aspen_core::transaction::Read;
use aspen_core::val::Val;
use snafu::ensure;

use crate::client::Client;
use crate::error::CallError;
use crate::functions::calls::{CallReply, QueryReply, to_component};
use crate::typed::convert::{FromPayload, IntoVal};
use crate::typed::error::*;

/// A component of a cluster, by name: what every generated client holds.
#[derive(Clone)]
pub struct Component {
    client: Client,
    name: String,
}

impl Component {
    /// Makes a client of the component that this name points to at each call, or of a `sha256:...` text.
    pub fn new(client: Client, name: &str) -> Self {
        Self { client, name: name.into() }
    }

    /// Begins a call of a function that returns `result<T, E>`, or `T`; then `E` is [`Infallible`].
    pub fn call<T, E>(&self, function: &'static str) -> Call<T, E> {
        Call { component: self.clone(), function, args: vec![], returns: PhantomData }
    }

    /// Checks that the component has these functions, with these types and names.
    pub async fn check(&self, signatures: &[&str]) -> Result<(), CheckError> {
        let manifest = self.client.describe(&self.name).await?;
        let found: Vec<String> = manifest.functions.iter().map(ToString::to_string).collect();
        let missing = signatures.iter().filter(|wanted| found.iter().all(|has| has != *wanted));
        let missing: Vec<String> = missing.map(ToString::to_string).collect();
        ensure!(missing.is_empty(), DifferentSnafu { component: &self.name, missing });
        Ok(())
    }
}

/// A function and its arguments, without the key that decides its shard.
#[must_use = "a call needs a key and an await to run: `.key(..).await`"]
pub struct Call<T, E = Infallible> {
    component: Component,
    function: &'static str,
    args: Vec<Val>,
    returns: PhantomData<fn() -> (T, E)>,
}

impl<T, E> Call<T, E> {
    /// Adds the next argument.
    pub fn arg(&mut self, arg: impl IntoVal) {
        self.args.push(arg.into_val());
    }

    /// Names the key: the function runs on the key's shard and may touch keys of that shard.
    pub fn key(self, key: impl AsRef<[u8]>) -> KeyedCall<T, E> {
        KeyedCall { call: self, key: key.as_ref().to_vec() }
    }
}

/// A call that is complete. Awaiting it runs it: exactly once, also if replies are lost.
#[must_use = "a call needs an await to run"]
pub struct KeyedCall<T, E = Infallible> {
    call: Call<T, E>,
    key: Vec<u8>,
}

/// The result of a call, and its cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypedReply<T> {
    /// The value returned; of a `result` the payload of `ok`.
    pub value: T,
    /// The shard's revision after the call; of a query the revision that it saw.
    pub revision: Revision,
    /// Fuel used.
    pub fuel: Fuel,
    /// Keys written.
    pub writes: u32,
}

/// The result that a call would have had.
#[derive(Debug)]
pub struct TypedDryRun<T, E: Debug + 'static> {
    /// The reply. Its revision is the one that the writes would have had.
    pub reply: Result<TypedReply<T>, TypedCallError<E>>,
    /// The keys that the function read, its writes, and its log lines.
    pub did: DryRun,
}

impl<T: FromPayload, E: FromPayload + Debug + 'static> KeyedCall<T, E> {
    /// Runs the call; returns the result with revision, fuel and writes.
    pub async fn reply(self) -> Result<TypedReply<T>, TypedCallError<E>> {
        let Call { component, function, args, .. } = &self.call;
        let done = component.client.call(&component.name, function, &self.key, args).await;
        self.typed(done, true)
    }

    /// Runs the call if every one of `reads` still holds: see [`Client::call_if`]. The reads are of keys
    /// of its shard. If a read does not hold, a conflict names it, and the function does not run.
    pub async fn call_if(self, reads: Vec<Read>) -> Result<TypedReply<T>, TypedCallError<E>> {
        let Call { component: Component { client, name }, function, args, .. } = &self.call;
        let done = match to_component(name) {
            Ok(component) => client.call_if(component, function, &self.key, args, reads).await,
            Err(error) => Err(error.into()),
        };
        self.typed(done, true)
    }

    /// Runs the call as a function that may touch keys of any shard: see [`Client::call_across`].
    pub async fn across(self) -> Result<TypedReply<T>, TypedCallError<E>> {
        let Call { component, function, args, .. } = &self.call;
        let done = component.client.call_across(&component.name, function, &self.key, args).await;
        self.typed(done, true)
    }

    /// Runs a function that only reads, without the log: see [`Client::query`].
    pub async fn query(self, consistency: Consistency) -> Result<TypedReply<T>, TypedCallError<E>> {
        let Call { component: Component { client, name }, function, args, .. } = &self.call;
        let done = client.query(name, function, &self.key, args, consistency).await;
        let reply = |QueryReply { value, revision, fuel }| {
            // A query that writes is refused.
            CallReply { value, revision, fuel, writes: 0 }
        };
        self.typed(done.map(reply), false)
    }

    /// Returns the result that the call would have now; nothing changes.
    pub async fn dry_run(self) -> Result<TypedDryRun<T, E>, TypedCallError<E>> {
        let Call { component, function, args, .. } = &self.call;
        let tried = component.client.dry_run(&component.name, function, &self.key, args).await;
        match tried {
            Ok(ran) => Ok(TypedDryRun { reply: self.typed(ran.reply, false), did: ran.did }),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn typed(
        &self,
        done: Result<CallReply, CallError>,
        is_applied: bool,
    ) -> Result<TypedReply<T>, TypedCallError<E>> {
        let CallReply { value, revision, fuel, writes } = done.map_err(|e| self.failed(e))?;
        let applied = is_applied.then_some(revision);
        let changed = |source| self.changed(Change::Result { source, applied });
        let value = T::from_payload(value).map_err(changed)?;
        Ok(TypedReply { value, revision, fuel, writes })
    }

    fn failed(&self, error: CallError) -> TypedCallError<E> {
        match error {
            CallError::Aborted { error, fuel } => match E::from_payload(error) {
                Ok(error) => TypedCallError::Returned { error, fuel },
                Err(source) => self.changed(Change::Error { source }),
            },
            CallError::Faulted { fault, fuel } => TypedCallError::Faulted { fault, fuel },
            CallError::CallConflict { conflicts } => TypedCallError::Conflict { conflicts },
            CallError::CallRefusal { refusal: Refusal::FunctionUnknown } => {
                self.changed(Change::NoFunction)
            }
            CallError::CallRefusal { refusal: Refusal::BadArguments } => {
                self.changed(Change::Arguments)
            }
            CallError::CallRefusal { refusal } => TypedCallError::Refused { refusal },
            CallError::CallRequest { source } => source.into(),
        }
    }

    fn changed(&self, change: Change) -> TypedCallError<E> {
        let Call { component, function, .. } = &self.call;
        let (component, function) = (component.name.clone(), function.to_string());
        TypedCallError::Changed { component, function, change }
    }
}

impl<T, E> IntoFuture for KeyedCall<T, E>
where
    T: FromPayload + 'static,
    E: FromPayload + Debug + 'static,
{
    type Output = Result<T, TypedCallError<E>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.reply().await.map(|reply| reply.value) })
    }
}
