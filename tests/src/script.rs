//! Golden scripts: blocks of commands, `---`, and the lines that they print.
//!
//! Runs on `aspen_core::apply::apply` over `aspen_core::state::Model`: no disk, no network, one clock. A block's
//! statements (`aspen::txn_text`) are one transaction of session 1. These commands stand among them,
//! each on a line of its own, done in order:
//!
//! ```text
//! shards N             the script has N shards from here on, all empty; `s1/a` is a key of shard 1
//! clock +500ms         entries from here on are stamped later
//! tick                 an entry that does nothing, as a leader proposes when something is due
//! again                sends the last transaction a second time, under the same request id
//! show PREFIX          the keys with this prefix, and the revision
//! leases               the leases with their keys
//! times N STATEMENT    the statement N times, with 0, 1, ... for each `%n`
//! quiet                of the block's transactions only the last line is printed
//! count                the numbers of keys and leases
//! caller NAME          entries from here on come from this caller; `local`: from the first one
//! open [N]             opens a session, or N
//! send S N [ack A]     sends the statements before it as request N of session S; `N..M`: as each of these
//! sessions             the open sessions
//! begin tN             begins an attempt at the statements before it, across shards
//! deliver tN MESSAGE   a message of the attempt arrives; without MESSAGE: the first one
//! repeat tN MESSAGE    a message arrives, and will arrive again
//! lose tN MESSAGE      a message gets lost, or its answer does
//! run tN               all messages arrive, in order
//! crash tN             the driver of the attempt ends; its messages are still on their way
//! retry tN as tM       another attempt at the same request
//! conclude tN          proposes the outcome that the attempt found as the answer of its request
//! sweep                leaders end the attempts that nobody drives
//! locks                the locks and the decisions
//! upload NAME TEXT     stores TEXT as a component; see `script/names.rs` for all about names
//! schedule NAME ...    see `script/schedules.rs`
//! found N shards ...   a placement map; see `script/placement.rs`
//! ```
//!
//! In a statement `%bytes:N` stands for N bytes `x`. Form of the files as in goldenscript (E. Grinaker).

mod words;

mod functions;
mod world;

mod print;

mod across;
mod names;
mod placement;
mod schedules;
mod sessions;
mod transactions;

use aspen::txn_text::parse_ms;
use aspen_core::protocol::{Command, Outcome};

use crate::script::across::Attempts;
use crate::script::placement::Cluster;
use crate::script::print::print;
use crate::script::transactions::Transactions;
use crate::script::words::{filled, first_word, number, repeated};
use crate::script::world::World;

const SEPARATOR: &str = "---";

/// Returns the script with the outputs that its commands have now.
pub fn run(script: &str) -> String {
    let mut runner = Runner::new(1);
    let mut written = String::new();
    let mut block = vec![];
    let mut lines = script.lines();
    while let Some(line) = lines.next() {
        written += &format!("{line}\n");
        match line {
            SEPARATOR => {
                let output = runner.run_block(&std::mem::take(&mut block));
                written += &output.iter().map(|line| format!("{line}\n")).collect::<String>();
                let mut old = lines.by_ref().skip_while(|line| !line.is_empty());
                written += if old.next().is_some() { "\n" } else { "" };
            }
            line => block.push(line),
        }
    }
    written
}

struct Runner {
    world: World,
    transactions: Transactions,
    attempts: Attempts,
    cluster: Option<Cluster>,
    is_quiet: bool,
}

impl Runner {
    fn new(shards: u16) -> Self {
        let (transactions, attempts) = Default::default();
        let world = World::new(shards);
        Self { world, transactions, attempts, cluster: None, is_quiet: false }
    }

    fn run_block(&mut self, lines: &[&str]) -> Vec<String> {
        let (mut output, mut statements) = (vec![], String::new());
        for line in lines {
            let statement = line.trim();
            match first_word(statement) {
                ("", _) | ("#", _) => {}
                ("times", rest) => statements += &self.world.with_keys(&repeated(rest)),
                (word, rest) => match self.command(word, rest, &mut statements) {
                    Some(lines) => output.extend(lines),
                    None => {
                        let statement = self.world.with_keys(&filled(statement));
                        statements += &format!("{statement}\n");
                    }
                },
            }
        }
        output.extend(self.transact(&mut statements));
        self.is_quiet = false;
        let output: Vec<String> = output.iter().map(|line| self.world.shown(line)).collect();
        if output.is_empty() { vec!["ok".into()] } else { output }
    }

    /// Does the statements as one transaction.
    fn transact(&mut self, statements: &mut String) -> Vec<String> {
        let mut lines = self.transactions.run(&mut self.world, &std::mem::take(statements));
        if self.is_quiet {
            lines.drain(..lines.len().saturating_sub(1));
        }
        lines
    }

    /// Does a command; none if the word is no command. Statements before it are a transaction of their
    /// own, but for those commands that take the statements.
    fn command(&mut self, word: &str, rest: &str, statements: &mut String) -> Option<Vec<String>> {
        match word {
            "begin" => {
                let statements = std::mem::take(statements);
                return Some(self.attempts.begin(&mut self.world, rest, &statements));
            }
            "send" => {
                return Some(sessions::send(&mut self.world, rest, &std::mem::take(statements)));
            }
            _ => {}
        }
        if !COMMANDS.contains(&word) {
            return None;
        }
        let mut lines = self.transact(statements);
        let world = &mut self.world;
        lines.extend(match word {
            "quiet" => {
                self.is_quiet = true;
                vec![]
            }
            "count" => transactions::count(world),
            "shards" => {
                *self = Runner::new(number(rest, "shards N"));
                vec![]
            }
            "clock" | "tick" => time(world, word, rest),
            "again" => self.transactions.again(world),
            "show" => transactions::show(world, rest),
            "leases" => transactions::leases(world),
            "caller" => sessions::caller(world, rest),
            "open" => sessions::open(world, rest),
            "sessions" => sessions::sessions(world),
            "retry" => self.attempts.retry(world, rest),
            "sweep" => across::sweep(world),
            "locks" => across::locks(world),
            "names" => names::names(world),
            "means" => names::means(world, rest),
            "share" => names::share(world, rest),
            "stored" => names::stored(world, rest),
            "upload" | "point" | "remove" | "canary" | "call" => names::change(world, word, rest),
            "schedule" => schedules::schedule(world, rest),
            "unschedule" => schedules::unschedule(world, rest),
            "schedules" => schedules::schedules(world),
            "found" => self.found(rest),
            "map" | "arrive" | "down" | "up" | "add-node" | "remove-node" | "move"
            | "rebalance" => self.of_cluster(word, rest),
            _ => self.attempts.go_on(world, word, rest),
        });
        Some(lines)
    }

    fn found(&mut self, words: &str) -> Vec<String> {
        match Cluster::found(&mut self.world, words) {
            Ok(cluster) => self.cluster.insert(cluster).print(),
            Err(lines) => lines,
        }
    }

    fn of_cluster(&mut self, word: &str, rest: &str) -> Vec<String> {
        let cluster = self.cluster.as_mut().expect("a cluster was founded");
        match word {
            "map" => cluster.print(),
            "arrive" => cluster.arrive(rest),
            "down" | "up" => cluster.answer(word, rest),
            _ => cluster.change(word, rest),
        }
    }
}

/// Every command but those that take the statements before them.
const COMMANDS: [&str; 41] = [
    "quiet",
    "count",
    "shards",
    "clock",
    "tick",
    "again",
    "show",
    "leases",
    "caller",
    "open",
    "sessions",
    "retry",
    "sweep",
    "locks",
    "deliver",
    "repeat",
    "lose",
    "run",
    "crash",
    "conclude",
    "names",
    "means",
    "share",
    "stored",
    "upload",
    "point",
    "remove",
    "canary",
    "call",
    "schedule",
    "unschedule",
    "schedules",
    "found",
    "map",
    "arrive",
    "down",
    "up",
    "add-node",
    "remove-node",
    "move",
    "rebalance",
];

fn time(world: &mut World, word: &str, rest: &str) -> Vec<String> {
    if word == "clock" {
        let ms = rest.strip_prefix('+').and_then(parse_ms);
        world.clock += ms.expect("clock has a time such as +500ms");
        return vec![];
    }
    let mut lines = vec![];
    for shard in world.shards() {
        let outcome = world.entry(shard, None, Command::Tick);
        if outcome != Outcome::Ticked {
            lines.extend(print(&outcome).iter().map(|line| world.on(shard, line)));
        }
    }
    lines
}
