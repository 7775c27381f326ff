//! Golden scripts of transactions: blocks of commands, `---`, and what they print.
//!
//! Runs on `aspen_core::apply::apply` over `aspen_core::state::Model`: one shard, one session, no disk, no network.
//! A block's statements (`aspen::txn_text`) are one transaction; these commands stand beside them,
//! each on a line of its own, done in order:
//!
//! ```text
//! clock +500ms      entries from here on are stamped later
//! tick              an entry that does nothing, as a leader proposes when something is due
//! again             sends the last transaction a second time, under the same request id
//! show PREFIX       the keys with this prefix, and the revision
//! leases            the leases with their keys
//! times N STATEMENT the statement N times, with 0, 1, ... for each `%n`
//! ```
//!
//! In a statement `%bytes:N` stands for N bytes `x`. Form of the files as in goldenscript (E. Grinaker).

use aspen::txn_print::{print_outcome, print_record, word_of};
use aspen::txn_text::{parse, parse_ms};
use aspen_core::apply::apply;
use aspen_core::codec::decode;
use aspen_core::function::NoFunctions;
use aspen_core::ids::{Caller, LeaseId, RequestId, SessionId, ShardId, Timestamp};
use aspen_core::key::{Key, KeyRange};
use aspen_core::placement::ShardRouter;
use aspen_core::protocol::{Command, Entry, Outcome};
use aspen_core::state::{Model, State};
use aspen_core::transaction::Transact;
use aspen_core::view::View;

/// First stamp of a script, in milliseconds.
const CLOCK_START_MS: u64 = 1_000;

const SEPARATOR: &str = "---";

/// The script with the outputs that its commands have now.
pub fn run(script: &str) -> String {
    let mut shard = Shard::new();
    let mut written = String::new();
    let mut block = vec![];
    let mut lines = script.lines();
    while let Some(line) = lines.next() {
        written += &format!("{line}\n");
        match line {
            SEPARATOR => {
                let output = shard.run_block(&std::mem::take(&mut block));
                written += &output.iter().map(|line| format!("{line}\n")).collect::<String>();
                let mut old = lines.by_ref().skip_while(|line| !line.is_empty());
                written += if old.next().is_some() { "\n" } else { "" };
            }
            line => block.push(line),
        }
    }
    written
}

struct Shard {
    model: Model,
    clock: u64,
    sequence: u64,
    last: Option<(RequestId, Transact)>,
}

impl Shard {
    fn new() -> Self {
        let mut shard =
            Self { model: Model::new(), clock: CLOCK_START_MS, sequence: 0, last: None };
        let opened = shard.entry(None, Command::OpenSession);
        assert_eq!(opened, Outcome::SessionOpened { session: SessionId::new(1) });
        shard
    }

    fn run_block(&mut self, lines: &[&str]) -> Vec<String> {
        let (mut output, mut statements) = (vec![], String::new());
        for line in lines {
            let statement = line.trim();
            match statement.split_once(' ').unwrap_or((statement, "")) {
                ("", _) | ("#", _) => {}
                ("times", rest) => statements += &repeated(rest),
                ("clock" | "tick" | "again" | "show" | "leases", _) => {
                    output.extend(self.transact(&std::mem::take(&mut statements)));
                    output.extend(self.command(statement));
                }
                _ => statements += &format!("{}\n", filled(statement)),
            }
        }
        output.extend(self.transact(&statements));
        if output.is_empty() { vec!["ok".into()] } else { output }
    }

    fn command(&mut self, command: &str) -> Vec<String> {
        let (command, rest) = command.split_once(' ').unwrap_or((command, ""));
        match command {
            "clock" => {
                let ms = rest.strip_prefix('+').and_then(parse_ms);
                self.clock += ms.expect("clock has a time such as +500ms");
                vec![]
            }
            "tick" => {
                assert_eq!(self.entry(None, Command::Tick), Outcome::Ticked);
                vec![]
            }
            "again" => {
                let (request, transact) = self.last.clone().expect("there was a transaction");
                let outcome = self.entry(Some(request), Command::Transact(transact.clone()));
                print_outcome(&transact, &outcome)
            }
            "show" => self.show(rest),
            _ => self.leases(),
        }
    }

    fn transact(&mut self, statements: &str) -> Vec<String> {
        if statements.is_empty() {
            return vec![];
        }
        let transact = match parse(statements) {
            Ok(transact) => transact,
            Err(error) => return vec![format!("error: {error}")],
        };
        self.sequence += 1;
        let (session, sequence) = (SessionId::new(1), self.sequence);
        let request = RequestId { session, sequence, acknowledged: 0 };
        self.last = Some((request, transact.clone()));
        let outcome = self.entry(Some(request), Command::Transact(transact.clone()));
        print_outcome(&transact, &outcome)
    }

    fn entry(&mut self, request: Option<RequestId>, command: Command) -> Outcome {
        let (stamp, caller) = (Timestamp::new(self.clock), Caller::LOCAL);
        let entry = Entry { stamp, seed: 1, caller, request, command };
        let router = ShardRouter::new(1).expect("one shard is allowed");
        let applied = apply(&mut self.model, &NoFunctions, ShardId::new(0), router, &entry);
        self.model.check();
        decode(&applied.expect("the model never fails").outcome).expect("apply encoded it")
    }

    fn show(&self, prefix: &str) -> Vec<String> {
        let mut lines = vec![format!("revision {}", self.model.header().revision.get())];
        let range = KeyRange::prefix(prefix.as_bytes().to_vec());
        let scanned = self.model.scan(&range, false, &mut |key, record| {
            let key = Key::new(key.to_vec()).expect("stored keys are within the limit");
            lines.push(print_record(&key, &record));
            true
        });
        scanned.expect("the model never fails");
        lines
    }

    fn leases(&self) -> Vec<String> {
        let leases = &self.model.resident().leases;
        let ids = (1..=self.model.header().last_lease.get()).map(LeaseId::new);
        let found = ids.filter_map(|id| leases.get(id));
        let lines: Vec<String> = found
            .map(|image| {
                let keys: String =
                    leases.keys(image.lease).map(|key| format!(" {}", word_of(key))).collect();
                let keys = if keys.is_empty() { " none".into() } else { keys };
                let kind = if image.is_private { " (of a ttl)" } else { "" };
                format!(
                    "lease {}{kind} due at {} ms, keys:{keys}",
                    image.lease.get(),
                    image.due.get()
                )
            })
            .collect();
        if lines.is_empty() { vec!["no leases".into()] } else { lines }
    }
}

/// `N STATEMENT`, N times.
fn repeated(text: &str) -> String {
    let (count, statement) = text.split_once(' ').expect("times N STATEMENT");
    let count: u64 = count.parse().expect("times N STATEMENT");
    let one = |n: u64| format!("{}\n", filled(statement).replace("%n", &n.to_string()));
    (0..count).map(one).collect()
}

/// The statement with every `%bytes:N` replaced.
fn filled(statement: &str) -> String {
    let word = |word: &str| match word.strip_prefix("%bytes:").and_then(|n| n.parse().ok()) {
        Some(count) => "x".repeat(count),
        None => word.to_string(),
    };
    statement.split(' ').map(word).collect::<Vec<_>>().join(" ")
}
