//! Many seeds, one process each, on all cores.
//!
//! A process of its own per seed, so that a seed that fails in a sweep does the same alone. Promises
//! that every seed is accounted for: it passed, it broke a promise, or it did not end.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// A run takes less than a second: one that takes so much longer hangs.
const RUN_LIMIT: Duration = Duration::from_secs(180);

/// Between two lines of progress where nobody watches.
const PROGRESS_EVERY: Duration = Duration::from_secs(20);

/// What one run prints at its end.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Summary {
    /// The seed.
    pub seed: u64,
    /// Hash of its trace.
    pub trace: String,
    /// Messages sent.
    pub messages: u64,
    /// How long it took by the simulated clock, in milliseconds.
    pub simulated_ms: u64,
    /// The same by the real one.
    pub real_ms: u64,
    /// Faults by kind.
    pub faults: BTreeMap<String, u64>,
}

/// A seed that did not pass.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What it said: the promise that is broken.
    pub what: String,
}

/// What a sweep came to.
#[derive(Clone, Debug, Default)]
pub struct Swept {
    /// Runs that passed.
    pub passed: u64,
    /// The others.
    pub failures: Vec<Failure>,
    /// Sums over all that passed.
    pub sum: Summary,
    /// How long the sweep took.
    pub took: Duration,
}

/// A sweep to be made.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// The program that runs one seed; the seed becomes its last argument.
    pub program: PathBuf,
    /// Its arguments before the seed.
    pub args: Vec<String>,
    /// The seeds.
    pub seeds: std::ops::Range<u64>,
    /// Processes at a time.
    pub jobs: usize,
    /// Whether the first failure ends it.
    pub stops_at_failure: bool,
    /// Whether progress is shown.
    pub is_shown: bool,
}

/// Where a sweep stands.
struct State {
    next: u64,
    swept: Swept,
    shown: Instant,
}

impl Sweep {
    /// Runs all seeds.
    pub fn run(&self) -> Swept {
        let started = Instant::now();
        let swept = Swept::default();
        let state = Mutex::new(State { next: self.seeds.start, swept, shown: started });
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..self.jobs {
                scope.spawn(|| self.work(&state, &stop, started));
            }
        });
        let mut swept = state.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()).swept;
        swept.failures.sort_by_key(|failure| failure.seed);
        swept.took = started.elapsed();
        if self.is_shown && io::stderr().is_terminal() {
            eprintln!();
        }
        swept
    }

    fn work(&self, state: &Mutex<State>, stop: &AtomicBool, started: Instant) {
        loop {
            let seed = {
                let mut state = state.lock().expect("no worker panics");
                if stop.load(Ordering::Relaxed) || state.next >= self.seeds.end {
                    return;
                }
                state.next += 1;
                state.next - 1
            };
            let result = self.run_one(seed);
            let mut state = state.lock().expect("no worker panics");
            match result {
                Ok(summary) => state.swept.add(&summary),
                Err(what) => {
                    if self.is_shown {
                        eprintln!("seed {seed}: {}", headline(&what));
                    }
                    state.swept.failures.push(Failure { seed, what });
                    stop.fetch_or(self.stops_at_failure, Ordering::Relaxed);
                }
            }
            self.show(&mut state, started);
        }
    }

    fn show(&self, state: &mut State, started: Instant) {
        let is_terminal = io::stderr().is_terminal();
        let every = if is_terminal { Duration::from_millis(500) } else { PROGRESS_EVERY };
        if !self.is_shown || state.shown.elapsed() < every {
            return;
        }
        state.shown = Instant::now();
        let done = state.swept.passed + state.swept.failures.len() as u64;
        let all = self.seeds.end - self.seeds.start;
        let rate = done as f64 / started.elapsed().as_secs_f64();
        let left = (all - done) as f64 / rate;
        let line = format!(
            "{done} of {all} seeds, {} failed, {:.0} a minute, {left:.0} s left",
            state.swept.failures.len(),
            60.0 * rate
        );
        let mut out = io::stderr();
        // Nobody is served if progress cannot be shown.
        let _ = match is_terminal {
            true => write!(out, "\r{line}   "),
            false => writeln!(out, "{line}"),
        };
    }

    /// Runs one seed in a process of its own.
    pub fn run_one(&self, seed: u64) -> Result<Summary, String> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).arg(seed.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| format!("cannot start a process: {error}"))?;
        let (is_ended, printed, errors) = wait(child)?;
        let summary = printed.lines().rev().find_map(|line| serde_json::from_str(line).ok());
        match (is_ended, summary) {
            (true, Some(summary)) => Ok(summary),
            (true, None) => Err(errors),
            (false, _) => Err(format!("hangs: no end after {RUN_LIMIT:?}\n{errors}")),
        }
    }
}

/// Waits for a process; whether it ended by itself, and what it printed.
fn wait(mut child: Child) -> Result<(bool, String, String), String> {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let reader = |stream: Option<Box<dyn Read + Send>>| {
        thread::spawn(move || {
            let mut bytes = vec![];
            // A pipe that breaks has given what it had.
            let _ = stream.map(|mut stream| stream.read_to_end(&mut bytes));
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let out = reader(out.map(|out| Box::new(out) as _));
    let err = reader(err.map(|err| Box::new(err) as _));
    let started = Instant::now();
    let is_ended = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(_) => break true,
            None if started.elapsed() > RUN_LIMIT => {
                // It may have ended in this moment.
                let _ = child.kill();
                let _ = child.wait();
                break false;
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    let text = |thread: thread::JoinHandle<String>| thread.join().unwrap_or_default();
    Ok((is_ended, text(out), text(err)))
}

/// The line that says which promise is broken.
pub fn headline(what: &str) -> String {
    let mut lines = what.lines();
    let panic = lines.find(|line| line.contains("panicked at"));
    let said = panic.and_then(|_| lines.next());
    let said = said.or(what.lines().last()).unwrap_or("ended without a word");
    said.trim_start_matches("assertion `left == right` failed: ").to_string()
}

impl Swept {
    fn add(&mut self, summary: &Summary) {
        self.passed += 1;
        self.sum.messages += summary.messages;
        self.sum.simulated_ms += summary.simulated_ms;
        self.sum.real_ms += summary.real_ms;
        for (fault, count) in &summary.faults {
            *self.sum.faults.entry(fault.clone()).or_default() += count;
        }
    }
}

/// A folder in memory, if there is one: files of a simulation need no disk.
pub fn scratch() -> io::Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("aspen-sim-").tempdir_in(place)
}
