//! What can be asked about functions.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::duration;

/// `aspen build`
#[derive(Debug, Args)]
pub struct Build {
    /// The crate's folder; or a core module (bank.core.wasm) whose world is in a section of it.
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// Where to write the component [default: NAME.wasm in the crate's folder, or NAME.component.wasm
    /// beside the module]
    #[arg(short, long)]
    pub output: Option<PathBuf>,
}

/// `aspen client-gen`
#[derive(Debug, Args)]
pub struct ClientGen {
    /// A component (bank.wasm), or WIT: a file, or a folder, which has comments too.
    #[arg(required_unless_present = "uploaded")]
    pub source: Option<PathBuf>,
    /// Instead of a file: what the cluster has under this name, or sha256: and a hash. It has no names of
    /// types; they are made from where each stands.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["source", "world"])]
    pub uploaded: Option<String>,
    /// The WIT world, if there are several.
    #[arg(long)]
    pub world: Option<String>,
    /// The name that calls use, which names the struct too [default: the world's or the file's]
    #[arg(long)]
    pub name: Option<String>,
    /// Where to write the module [default: standard output]
    #[arg(short, long)]
    pub out: Option<PathBuf>,
}

/// `aspen call`
#[derive(Debug, Args)]
pub struct Call {
    /// The component's name, or sha256: and its hash.
    pub name: String,
    /// The function.
    pub function: String,
    /// Its arguments, as WAVE text: 7, true, "text" (plain text needs no quotes), [1, 2],
    /// {field: 1}, some(1), ok("x").
    pub args: Vec<String>,
    /// A key of the shard that shall run it: the function may touch keys of that shard alone.
    #[arg(long)]
    pub key: String,
    /// Let it touch keys of any shard: slower, for it commits as a transaction across shards.
    #[arg(long)]
    pub across: bool,
    /// Change nothing: print the result, the keys that it reads with their versions, its writes and
    /// its log lines.
    #[arg(long, conflicts_with = "across")]
    pub dry_run: bool,
    /// Print result, fuel and revision as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `aspen query`
#[derive(Debug, Args)]
pub struct Query {
    /// The component's name, or sha256: and its hash.
    pub name: String,
    /// The function.
    pub function: String,
    /// Its arguments, as of `aspen call`.
    pub args: Vec<String>,
    /// A key of the shard that shall run it: the function sees keys of that shard alone.
    #[arg(long)]
    pub key: String,
    /// A state this old will do (such as 5s): any replica may answer.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub stale: Option<Duration>,
    /// Print result, fuel and revision as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `aspen logs`
#[derive(Debug, Args)]
pub struct Logs {
    /// Only of calls by this name, or of the component sha256: and its hash.
    pub name: Option<String>,
    /// Go on with what comes, until Ctrl-C.
    #[arg(short, long)]
    pub follow: bool,
    /// Of what was kept, at most so many of the last calls.
    #[arg(long, default_value_t = 100)]
    pub calls: usize,
    /// One JSON object a call.
    #[arg(long)]
    pub json: bool,
}

/// `aspen schedule`
#[derive(Debug, Args)]
pub struct Schedule {
    /// The schedule's name; one that has it, on the shard of the key, is replaced.
    pub name: String,
    /// The component's name (each run calls what it points to by then), or sha256: and its hash.
    pub component: String,
    /// The function.
    pub function: String,
    /// Its arguments, as of `aspen call`.
    pub args: Vec<String>,
    /// A key of the shard that shall run it: the function sees keys of that shard alone.
    #[arg(long)]
    pub key: String,
    /// Again after each such time, a second at least: 30s, 5m, 2h, 1d. Without it, once.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub every: Option<Duration>,
    /// First after this time [default: that of --every]
    #[arg(long = "in", value_name = "TIME", value_parser = duration, conflicts_with = "at")]
    pub after: Option<Duration>,
    /// First at this moment, such as 2030-01-31T08:00:00Z; at once if it has passed.
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    pub at: Option<u64>,
    /// Print as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Milliseconds since 1970.
fn moment(text: &str) -> Result<u64, String> {
    let parsed = OffsetDateTime::parse(text, &Rfc3339).ok();
    let ms = parsed.and_then(|time| u64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok());
    ms.ok_or_else(|| "expected a moment such as 2030-01-31T08:00:00Z".into())
}
