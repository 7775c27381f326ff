//! `aspen logs` and `aspen stats`: the log lines of calls, and figures of each function.

use std::collections::BTreeMap;
use std::time::Duration;

use aspen_client::{
    CallEndKind, CallNote, Client, ComponentHash, FunctionStatistics, Histogram, LogPosition, Name,
};
use clap::Args;
use serde_json::{Value as Json, json};

use crate::commands::components::hash_of;
use crate::failure::Failure;
use crate::print::{print_on, say, time as print_time};

/// `aspen logs`
#[derive(Debug, Args)]
pub struct Logs {
    /// Only calls by this name, or of the component with this hash, as sha256: and the hash.
    pub name: Option<String>,
    /// Continue with new calls, until Ctrl-C.
    #[arg(short, long)]
    pub follow: bool,
    /// At most this many calls of those kept, the last ones.
    #[arg(long, default_value_t = 100)]
    pub calls: usize,
    /// Print one JSON object a call.
    #[arg(long)]
    pub json: bool,
}

/// `aspen stats`
#[derive(Debug, Args)]
pub struct Stats {
    /// Only of this component: its name, or sha256: and its hash.
    pub name: Option<String>,
    /// Print as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Interval of the questions of `--follow`: short enough for a person who watches, and no load for the
/// nodes.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);

/// Prints log lines.
pub async fn logs(client: &Client, options: &Logs) -> Result<(), Failure> {
    let Logs { name, follow, calls, json } = options;
    let mut position = LogPosition::default();
    let mut most = *calls;
    loop {
        let notes = client.logs(name.as_deref(), &mut position).await?;
        for note in &notes[notes.len().saturating_sub(most)..] {
            let text = if *json { format!("{}\n", note_json(note)) } else { note_text(note) };
            if !print_on(text.as_bytes())? {
                return Ok(());
            }
        }
        if !follow {
            return Ok(());
        }
        most = usize::MAX;
        tokio_real::time::sleep(FOLLOW_EVERY).await;
    }
}

/// Returns a line for each log line, and one for a fault.
fn note_text(note: &CallNote) -> String {
    let CallNote { shard, index, time, named, function, ended, lines, .. } = note;
    let before = format!("{} {shard}/{} {named} {function}", print_time(*time), index.get());
    let mut text: String = lines.iter().map(|line| format!("{before}: {line}\n")).collect();
    if let CallEndKind::Faulted(fault) = ended {
        text += &format!("{before} faulted: {fault}\n");
    }
    text
}

fn note_json(note: &CallNote) -> Json {
    let (ended, fault) = match &note.ended {
        CallEndKind::Returned => ("returned", None),
        CallEndKind::Aborted => ("aborted", None),
        CallEndKind::Faulted(fault) => ("faulted", Some(fault.to_string())),
    };
    json!({
        "shard": note.shard.get(), "index": note.index.get(), "time_ms": note.time.get(),
        "caller": note.caller.to_string(), "named": note.named.to_string(),
        "component": note.component.to_string(), "function": note.function,
        "ended": ended, "fault": fault, "lines": note.lines,
    })
}

/// Prints the figures of each function.
pub async fn statistics(client: &Client, options: &Stats) -> Result<(), Failure> {
    let of = match &options.name {
        Some(component) => Some(hash_of(client, component).await?),
        None => None,
    };
    let mut names: BTreeMap<ComponentHash, Name> = BTreeMap::new();
    for known in client.components().await? {
        if let Some((canary, _)) = known.canary {
            names.entry(canary).or_insert_with(|| known.name.clone());
        }
        names.insert(known.component, known.name);
    }
    let all = client.statistics().await?;
    let wanted = all.iter().filter(|one| of.is_none_or(|of| one.component == of));
    if options.json {
        let mut lines = wanted.map(|one| statistics_json(one, names.get(&one.component)));
        return lines.try_for_each(|line| say(&line.to_string()));
    }
    say(&format!(
        "{:<20} {:<8} {:<20} {:>9} {:>8} {:>8} {:>10} {:>10} {:>7} {:>7}",
        "name",
        "sha256",
        "function",
        "calls",
        "aborted",
        "faulted",
        "fuel p50",
        "p99",
        "us p50",
        "p99"
    ))?;
    wanted.into_iter().try_for_each(|one| say(&row(one, names.get(&one.component))))
}

fn row(of: &FunctionStatistics, name: Option<&Name>) -> String {
    let name = name.map_or("-".into(), Name::to_string);
    let hash = &of.component.to_string()[..8];
    let faulted: u64 = of.faulted.iter().map(|(_, count)| count).sum();
    let (fuel, micros) = (&of.fuel, &of.micros);
    let mut text = format!(
        "{name:<20} {hash:<8} {:<20} {:>9} {:>8} {faulted:>8} {:>10} {:>10} {:>7} {:>7}",
        of.function,
        of.calls(),
        of.aborted,
        fuel.quantile(500),
        fuel.quantile(990),
        micros.quantile(500),
        micros.quantile(990),
    );
    for (fault, count) in &of.faulted {
        text += &format!("\n{:>61} {count} x {fault}", "");
    }
    text
}

fn statistics_json(of: &FunctionStatistics, name: Option<&Name>) -> Json {
    let faulted = of
        .faulted
        .iter()
        .map(|(fault, count)| json!({ "example": fault.to_string(), "calls": count }));
    json!({
        "name": name.map(Name::as_str), "component": of.component.to_string(),
        "function": of.function, "calls": of.calls(), "returned": of.returned,
        "aborted": of.aborted, "faulted": faulted.collect::<Vec<_>>(),
        "fuel": histogram_json(&of.fuel), "micros": histogram_json(&of.micros),
    })
}

fn histogram_json(of: &Histogram) -> Json {
    json!({
        "mean": of.mean(), "p50": of.quantile(500), "p90": of.quantile(900),
        "p99": of.quantile(990), "max": of.quantile(1000),
    })
}
