//! `aspen schedule`, `schedules`, `unschedule`: calls that the cluster makes by itself.

use std::time::Duration;

use aspen_client::{Client, Ended, First, LastRun, Name, Schedule, ScheduledCall, Timestamp};
use serde_json::{Value as Json, json};

use crate::cli;
use crate::commands::functions::parse;
use crate::commands::print::{bytes_json, say, time as print_time, vals};
use crate::failure::Failure;
use crate::txn_print::print_ms;

/// `aspen schedule`
pub async fn schedule(client: &Client, options: &cli::Schedule) -> Result<(), Failure> {
    let cli::Schedule { name, component, function, args, key, every, after, at, json } = options;
    let args = parse(client, component, function, args).await?;
    let call = ScheduledCall::new(component, function, key, &args);
    let call = call.map_err(|error| Failure::Usage { message: error.to_string() })?;
    let first = match (at, after, every) {
        (Some(at), _, _) => First::At(Timestamp::new(*at)),
        (None, Some(after), _) | (None, None, Some(after)) => First::After(millis(*after)),
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

/// `aspen schedules`
pub async fn list(client: &Client, as_json: bool) -> Result<(), Failure> {
    let schedules = client.schedules().await?;
    if as_json {
        let mut lines = schedules.iter().map(|(name, schedule)| schedule_json(name, schedule));
        return lines.try_for_each(|line| say(&line.to_string()));
    }
    schedules.iter().try_for_each(|(name, schedule)| say(&row(name, schedule)))
}

fn row(name: &Name, schedule: &Schedule) -> String {
    let Schedule { call, due, every_ms, runs, last, .. } = schedule;
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

/// How a run ended, in a word, and why if it failed.
fn ended(last: &LastRun) -> (&'static str, Option<String>) {
    match &last.ended {
        Ok(Ended::Returned) => ("returned", None),
        Ok(Ended::Aborted) => ("aborted", None),
        Ok(Ended::Faulted(fault)) => ("faulted", Some(fault.to_string())),
        Err(refusal) => ("refused", Some(refusal.to_string())),
    }
}

fn schedule_json(name: &Name, schedule: &Schedule) -> Json {
    let Schedule { call, caller, due, every_ms, runs, last } = schedule;
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

/// `aspen unschedule`
pub async fn unschedule(client: &Client, name: &str, key: Option<&str>) -> Result<(), Failure> {
    let not_found = || Failure::Refused { message: format!("schedule {name}: not found") };
    let key = match key {
        Some(key) => key.as_bytes().to_vec(),
        None => {
            let all = client.schedules().await?;
            let mut found = all.iter().filter(|(known, _)| known.as_str() == name);
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
