//! Schedules: functions that the cluster calls by itself, at a time or again and again.
//!
//! ```no_run
//! # async fn example(client: aspen_client::Client) -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use aspen_client::{First, ScheduledCall};
//! let sweep = ScheduledCall::new("inventory", "give-back", "stock", &[])?;
//! let every = Duration::from_secs(60);
//! client.schedule("give-back", sweep, First::After(0), Some(every)).await?;
//! for (name, schedule) in client.schedules().await? {
//!     println!("{name}: {} runs, the next at {}", schedule.runs, schedule.due);
//! }
//! client.unschedule("give-back", "stock").await?;
//! # Ok(()) }
//! ```

use std::time::Duration;

use aspen_core::{
    Call, Command, First, Name, NewSchedule, Outcome, Request, Response, Schedule, Timestamp, Val,
};
use futures::future::try_join_all;

use crate::client::{Client, to_key};
use crate::error::*;
use crate::functions::{to_call, to_component};

/// What a schedule calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduledCall(Call);

impl ScheduledCall {
    /// A function of a component, by name (then each run calls what the name points to by then) or
    /// `sha256:` and a hash, on the shard where `key` lives.
    pub fn new(
        component: &str,
        function: &str,
        key: impl AsRef<[u8]>,
        args: &[Val],
    ) -> Result<Self, Invalid> {
        to_call(to_component(component)?, function, key, args, vec![]).map(Self)
    }
}

impl Client {
    /// Has the cluster make a call: first at `first`, and then `every` so often (a second at least) or,
    /// if that is `None`, no more. A schedule of that name on the shard of the call's key is replaced.
    /// Entry time of the first call.
    ///
    /// Each run is applied exactly once, in an entry of its own, and its caller is this client. Runs that
    /// are missed while the shard has no leader count as one. A run that aborts or faults writes nothing,
    /// and the next one comes all the same. The function sees the keys of its shard alone.
    pub async fn schedule(
        &self,
        name: &str,
        call: ScheduledCall,
        first: First,
        every: Option<Duration>,
    ) -> Result<Timestamp, WriteError> {
        let name = Name::new(name).map_err(Invalid::from)?;
        let every_ms = every.map(|every| u64::try_from(every.as_millis()).unwrap_or(u64::MAX));
        let shard = self.router().shard(call.0.key.as_bytes());
        let new = NewSchedule { name, call: call.0, first, every_ms };
        match self.propose(shard, &Command::Schedule(new)).await? {
            Outcome::Scheduled { due } => Ok(due),
            Outcome::Refused(refusal) => RefusalSnafu { refusal }.fail(),
            _ => Err(ProtocolSnafu.build().into()),
        }
    }

    /// Ends a schedule on the shard where `key` lives. False if there is none of this name.
    pub async fn unschedule(&self, name: &str, key: impl AsRef<[u8]>) -> Result<bool, WriteError> {
        let name = Name::new(name).map_err(Invalid::from)?;
        let shard = self.router().shard(to_key(key)?.as_bytes());
        match self.propose(shard, &Command::Unschedule { name }).await? {
            Outcome::Unscheduled { existed } => Ok(existed),
            Outcome::Refused(refusal) => RefusalSnafu { refusal }.fail(),
            _ => Err(ProtocolSnafu.build().into()),
        }
    }

    /// The schedules of all shards, in order of names; linearizable shard by shard.
    pub async fn schedules(&self) -> Result<Vec<(Name, Schedule)>, RequestError> {
        let of_shard = async |shard| match self.ask(shard, &Request::Schedules { shard }).await? {
            Response::Schedules(schedules) => Ok(schedules),
            _ => ProtocolSnafu.fail(),
        };
        let found = try_join_all(self.router().all().map(of_shard)).await?;
        let mut all: Vec<(Name, Schedule)> = found.into_iter().flatten().collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(all)
    }
}
