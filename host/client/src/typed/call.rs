//! A typed call on its way: arguments, key, and how it is run.

use std::convert::Infallible;
use std::fmt::Debug;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;

use aspen_core::{Consistency, DryRun, Fuel, Read, Refusal, Revision, Val};
use snafu::ensure;

use super::error::*;
use super::{FromPayload, IntoVal};
use crate::client::Client;
use crate::error::CallError;
use crate::functions::{CallReply, QueryReply, to_component};

/// A component of a cluster, by name: what every generated client holds.
#[derive(Clone)]
pub struct Component {
    client: Client,
    name: String,
}

impl Component {
    /// The component that this name points to whenever it is called, or that of a `sha256:...` text.
    pub fn new(client: Client, name: &str) -> Self {
        Self { client, name: name.into() }
    }

    /// Starts a call of a function that returns `result<T, E>`, or `T`, where `E` is [`Infallible`].
    pub fn call<T, E>(&self, function: &'static str) -> Call<T, E> {
        Call { component: self.clone(), function, args: vec![], returns: PhantomData }
    }

    /// Whether the component has these functions, with these types and names.
    pub async fn check(&self, signatures: &[&str]) -> Result<(), CheckError> {
        let manifest = self.client.describe(&self.name).await?;
        let found: Vec<String> = manifest.functions.iter().map(ToString::to_string).collect();
        let missing = signatures.iter().filter(|wanted| found.iter().all(|has| has != *wanted));
        let missing: Vec<String> = missing.map(ToString::to_string).collect();
        ensure!(missing.is_empty(), DifferentSnafu { component: &self.name, missing });
        Ok(())
    }
}

/// A function and its arguments, which lack the key that says where it runs.
#[must_use = "a call needs a key and an await to run: `.key(..).await`"]
pub struct Call<T, E = Infallible> {
    component: Component,
    function: &'static str,
    args: Vec<Val>,
    returns: PhantomData<fn() -> (T, E)>,
}

impl<T, E> Call<T, E> {
    /// The next argument.
    pub fn arg(&mut self, arg: impl IntoVal) {
        self.args.push(arg.into_val());
    }

    /// Runs it on the shard where this key lives: the function may touch keys of that shard.
    pub fn key(self, key: impl AsRef<[u8]>) -> KeyedCall<T, E> {
        KeyedCall { call: self, key: key.as_ref().to_vec() }
    }
}

/// A call that is complete. Awaiting it runs it: once, whatever is lost on the way.
#[must_use = "a call needs an await to run"]
pub struct KeyedCall<T, E = Infallible> {
    call: Call<T, E>,
    key: Vec<u8>,
}

/// What a call returned, and what it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply<T> {
    /// Its result; of a `result` the payload of `ok`.
    pub value: T,
    /// The shard's revision after it; of a query the one that it saw.
    pub revision: Revision,
    /// Fuel it used.
    pub fuel: Fuel,
    /// Keys it wrote.
    pub writes: u32,
}

/// What a call would have come to.
#[derive(Debug)]
pub struct TypedDryRun<T, E: Debug + 'static> {
    /// Its answer. The revision is what its writes would have had.
    pub reply: Result<Reply<T>, TypedCallError<E>>,
    /// The keys it looked at, its writes, and its log lines.
    pub did: DryRun,
}

impl<T: FromPayload, E: FromPayload + Debug + 'static> KeyedCall<T, E> {
    /// Runs it; the result with revision, fuel and writes.
    pub async fn reply(self) -> Result<Reply<T>, TypedCallError<E>> {
        let Call { component, function, args, .. } = &self.call;
        let done = component.client.call(&component.name, function, &self.key, args).await;
        self.typed(done, true)
    }

    /// Runs it if every one of `reads` still holds, which must be of keys of its shard: see
    /// [`Client::call_if`]. If one does not, that is a conflict which names it, and nothing is run.
    pub async fn call_if(self, reads: Vec<Read>) -> Result<Reply<T>, TypedCallError<E>> {
        let Call { component: Component { client, name }, function, args, .. } = &self.call;
        let done = match to_component(name) {
            Ok(component) => client.call_if(component, function, &self.key, args, reads).await,
            Err(error) => Err(error.into()),
        };
        self.typed(done, true)
    }

    /// Runs it as a function that may touch keys of any shard: see [`Client::call_across`].
    pub async fn across(self) -> Result<Reply<T>, TypedCallError<E>> {
        let Call { component, function, args, .. } = &self.call;
        let done = component.client.call_across(&component.name, function, &self.key, args).await;
        self.typed(done, true)
    }

    /// Runs a function that only reads, without the log: see [`Client::query`].
    pub async fn query(self, consistency: Consistency) -> Result<Reply<T>, TypedCallError<E>> {
        let Call { component: Component { client, name }, function, args, .. } = &self.call;
        let done = client.query(name, function, &self.key, args, consistency).await;
        let reply = |QueryReply { value, revision, fuel }| {
            // A query that writes is refused.
            CallReply { value, revision, fuel, writes: 0 }
        };
        self.typed(done.map(reply), false)
    }

    /// What it would come to now; nothing changes.
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
    ) -> Result<Reply<T>, TypedCallError<E>> {
        let CallReply { value, revision, fuel, writes } = done.map_err(|e| self.failed(e))?;
        let applied = is_applied.then_some(revision);
        let changed = |source| self.changed(Change::Result { source, applied });
        let value = T::from_payload(value).map_err(changed)?;
        Ok(Reply { value, revision, fuel, writes })
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
