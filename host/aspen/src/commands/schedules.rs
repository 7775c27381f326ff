//! `aspen schedule`, `schedules`, `unschedule`: calls that the cluster makes by itself.

use std::time::Duration;

use aspen_client::{CallEndKind, Client, FirstRun, LastRun, Name, ScheduledCall, Timestamp};
use clap::Args;
use serde_json::{Value as Json, json};

use crate::commands::calls::parse;
use crate::commands::values::{duration, moment};
use crate::failure::Failure;
use crate::print::{bytes_json, say, time as print_time, vals};
use crate::txn_print::print_ms;

/// `aspen schedule`
#[derive(Debug, Args)]
pub struct Schedule {
    /// The schedule's name. A schedule of this name on the shard of the key is replaced.
    pub name: String,
    /// The component's name (looked up at each run), or sha256: and its hash.
    pub component: String,
    /// The function.
    pub function: String,
    /// Its arguments, as for `aspen call`.
    pub args: Vec<String>,
    /// A key of the shard that runs the function: the function sees keys of that shard alone.
    #[arg(long)]
    pub key: String,
    /// Repeat after this time, a second at least: 30s, 5m, 2h, 1d. Without this option the call is made
    /// once.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub every: Option<Duration>,
    /// First call after this time [default: the time of --every]
    #[arg(long = "in", value_name = "TIME", value_parser = duration, conflicts_with = "at")]
    pub after: Option<Duration>,
    /// First call at this moment, such as 2030-01-31T08:00:00Z; at once if the moment has passed.
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    pub at: Option<u64>,
    /// Print as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `aspen schedules`
#[derive(Debug, Args)]
pub struct Schedules {
    /// Print as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `aspen unschedule`
#[derive(Debug, Args)]
pub struct Unschedule {
    /// The schedule's name.
    pub name: String,
    /// A key of its shard; needed only if several shards have a schedule of this name.
    #[arg(long)]
    pub key: Option<String>,
}

/// Makes a schedule.
pub async fn schedule(client: &Client, options: &Schedule) -> Result<(), Failure> {
    let Schedule { name, component, function, args, key, every, after, at, json } = options;
    let args = parse(client, component, function, args).await?;
    let call = ScheduledCall::new(component, function, key, &args);
    let call = call.map_err(|error| Failure::Usage { message: error.to_string() })?;
    let first = match (at, after, every) {
        (Some(at), _, _) => FirstRun::At(Timestamp::new(*at)),
        (None, Some(after), _) | (None, None, Some(after)) => FirstRun::After(millis(*after)),
        (None, None, None) => {
            let message = "say when: --every 10m, --in 30s or --at 2030-01-01T00:00:00Z".into();
            return Err(Failure::Usage { message });
        }
    };
    let due = client.schedule(name, call, first, *every).await?;
    if *json {
        return say(&json!({ "name": name, "due_ms": due.get() }).to_string());
    }
    let again = every.map(|every| format!(", then every {}", print_ms(millis(every))));
    let again = again.unwrap_or_default();
    say(&format!("{name} calls {component} {function} at {}{again}", print_time(due)))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Lists the schedules.
pub async fn list(client: &Client, options: &Schedules) -> Result<(), Failure> {
    let schedules = client.schedules().await?;
    if options.json {
        let mut lines = schedules.iter().map(|(name, schedule)| schedule_json(name, schedule));
        return lines.try_for_each(|line| say(&line.to_string()));
    }
    schedules.iter().try_for_each(|(name, schedule)| say(&row(name, schedule)))
}

fn row(name: &Name, schedule: &aspen_client::Schedule) -> String {
    let aspen_client::Schedule { call, due, every_ms, runs, last, .. } = schedule;
    let (component, function, key) = (&call.component, &call.function, &call.key);
    let every = every_ms.map_or("once".into(), |every_ms| format!("every {}", print_ms(every_ms)));
    let last = last.as_ref().map(|last| {
        let (ended, why) = ended(last);
        let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
        format!(", last {ended}{why} {}", print_time(last.time))
    });
    let args = vals(&call.args);
    let (due, last) = (print_time(*due), last.unwrap_or_default());
    format!(
        "{name}: {component} {function}({args}) at {key}, {every}, next {due}, {runs} runs{last}"
    )
}

/// Returns the end of a run in a word, and the reason if it failed.
fn ended(last: &LastRun) -> (&'static str, Option<String>) {
    match &last.ended {
        Ok(CallEndKind::Returned) => ("returned", None),
        Ok(CallEndKind::Aborted) => ("aborted", None),
        Ok(CallEndKind::Faulted(fault)) => ("faulted", Some(fault.to_string())),
        Err(refusal) => ("refused", Some(refusal.to_string())),
    }
}

fn schedule_json(name: &Name, schedule: &aspen_client::Schedule) -> Json {
    let aspen_client::Schedule { call, caller, due, every_ms, runs, last } = schedule;
    let last = last.as_ref().map(|last| {
        let (ended, why) = ended(last);
        json!({ "time_ms": last.time.get(), "ended": ended, "why": why })
    });
    json!({
        "name": name.as_str(), "component": call.component.to_string(),
        "function": call.function, "args": vals(&call.args),
        "key": bytes_json(call.key.as_bytes()), "caller": caller.to_string(),
        "due_ms": due.get(), "every_ms": every_ms, "runs": runs, "last": last,
    })
}

/// Ends a schedule.
pub async fn unschedule(client: &Client, options: &Unschedule) -> Result<(), Failure> {
    let Unschedule { name, key } = options;
    let not_found = || Failure::Refused { message: format!("schedule {name}: not found") };
    let key = match key {
        Some(key) => key.as_bytes().to_vec(),
        None => {
            let all = client.schedules().await?;
            let mut found = all.iter().filter(|(known, _)| known.as_str() == name.as_str());
            let (_, one) = found.next().ok_or_else(not_found)?;
            if found.next().is_some() {
                let message =
                    format!("several shards have a schedule {name}: say which with --key");
                return Err(Failure::Usage { message });
            }
            one.call.key.as_bytes().to_vec()
        }
    };
    match client.unschedule(name, key).await? {
        true => say(&format!("{name} is not scheduled any more")),
        false => Err(not_found()),
    }
}
