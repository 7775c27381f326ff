//! Schedules: functions that the cluster calls by itself, at one moment or again and again.
//!
//! ```no_run
//! # async fn example(client: aspen_client::Client) -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use aspen_client::{FirstRun, ScheduledCall};
//! let sweep = ScheduledCall::new("inventory", "give-back", "stock", &[])?;
//! let every = Duration::from_secs(60);
//! client.schedule("give-back", sweep, FirstRun::After(0), Some(every)).await?;
//! for (name, schedule) in client.schedules().await? {
//!     println!("{name}: {} runs, the next at {}", schedule.runs, schedule.due);
//! }
//! client.unschedule("give-back", "stock").await?;
//! # Ok(()) }
//! ```

use std::time::Duration;

use aspen_core::function::Call;
use aspen_core::ids::{Name, Timestamp};
use aspen_core::protocol::{Command, Outcome, Request, Response};
use aspen_core::state::{FirstRun, NewSchedule, Schedule};
use aspen_core::val::Val;

use crate::arguments::{to_key, to_name};
use crate::client::Client;
use crate::error::*;
use crate::functions::calls::{to_call, to_component};

/// The call that a schedule makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduledCall(Call);

impl ScheduledCall {
    /// Makes a call of a function on the shard where `key` lives. `component` is a name, whose component
    /// is looked up at each run, or `sha256:` and a hash.
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
    /// Lets the cluster make a call: first at `first`, then after each `every` (a second at least); only
    /// once if `every` is `None`. Replaces a schedule of that name on the shard of the call's key. Returns
    /// the entry time of the first call.
    ///
    /// Each run is applied exactly once, in an entry of its own, and its caller is this client. Runs that
    /// are missed while the shard has no leader count as one. A run that aborts or faults writes nothing;
    /// the next run comes nevertheless. The function sees the keys of its shard alone.
    pub async fn schedule(
        &self,
        name: &str,
        call: ScheduledCall,
        first: FirstRun,
        every: Option<Duration>,
    ) -> Result<Timestamp, WriteError> {
        let name = to_name(name)?;
        let every_ms = every.map(|every| u64::try_from(every.as_millis()).unwrap_or(u64::MAX));
        let shard = self.router().shard(call.0.key.as_bytes());
        let new = NewSchedule { name, call: call.0, first, every_ms };
        match self.must_propose(shard, &Command::Schedule(new)).await? {
            Outcome::Scheduled { due } => Ok(due),
            _ => Err(RequestError::Protocol.into()),
        }
    }

    /// Ends a schedule on the shard where `key` lives. Returns false if no schedule has this name.
    pub async fn unschedule(&self, name: &str, key: impl AsRef<[u8]>) -> Result<bool, WriteError> {
        let name = to_name(name)?;
        let shard = self.router().shard(to_key(key)?.as_bytes());
        match self.must_propose(shard, &Command::Unschedule { name }).await? {
            Outcome::Unscheduled { existed } => Ok(existed),
            _ => Err(RequestError::Protocol.into()),
        }
    }

    /// Returns the schedules of all shards, in order of names; linearizable shard by shard.
    pub async fn schedules(&self) -> Result<Vec<(Name, Schedule)>, RequestError> {
        let of_shard = async |shard| match self.ask(shard, &Request::Schedules { shard }).await? {
            Response::Schedules(schedules) => Ok(schedules),
            _ => ProtocolSnafu.fail(),
        };
        let found = self.ask_all_shards(of_shard).await?;
        let mut all: Vec<(Name, Schedule)> = found.into_iter().flatten().collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(all)
    }
}
