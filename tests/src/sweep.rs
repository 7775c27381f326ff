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

/// Limit of one run. A run takes less than a second: one that takes so much longer hangs.
const RUN_LIMIT: Duration = Duration::from_secs(180);

/// Time between two lines of progress where the output is no terminal.
const PROGRESS_EVERY: Duration = Duration::from_secs(20);

/// The last line that one run prints, as JSON.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Summary {
    /// The seed.
    pub seed: u64,
    /// Hash of its trace.
    pub trace: String,
    /// Messages sent.
    pub messages: u64,
    /// Duration by the simulated clock, in milliseconds.
    pub simulated_ms: u64,
    /// Duration by the real clock, in milliseconds.
    pub real_ms: u64,
    /// Faults by kind.
    pub faults: BTreeMap<String, u64>,
}

/// A seed that did not pass.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// Its error output: the promise that is broken.
    pub what: String,
}

/// The results of a sweep.
#[derive(Clone, Debug, Default)]
pub struct SweepReport {
    /// Runs that passed.
    pub passed: u64,
    /// Runs that failed, in the order of their seeds.
    pub failures: Vec<Failure>,
    /// Sums over all runs that passed.
    pub sum: Summary,
    /// Duration of the sweep.
    pub took: Duration,
}

/// A sweep before it runs.
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
    /// True if the first failure ends the sweep.
    pub stops_at_failure: bool,
    /// True if progress is shown.
    pub is_shown: bool,
}

/// The progress of a sweep.
struct State {
    next: u64,
    report: SweepReport,
    shown: Instant,
}

impl Sweep {
    /// Runs all seeds, or until the first failure.
    pub fn run(&self) -> SweepReport {
        let started = Instant::now();
        let report = SweepReport::default();
        let state = Mutex::new(State { next: self.seeds.start, report, shown: started });
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..self.jobs {
                scope.spawn(|| self.work(&state, &stop, started));
            }
        });
        let mut report = state.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()).report;
        report.failures.sort_by_key(|failure| failure.seed);
        report.took = started.elapsed();
        if self.is_shown && io::stderr().is_terminal() {
            eprintln!();
        }
        report
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
                Ok(summary) => state.report.add(&summary),
                Err(what) => {
                    if self.is_shown {
                        eprintln!("seed {seed}: {}", headline(&what));
                    }
                    state.report.failures.push(Failure { seed, what });
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
        let done = state.report.passed + state.report.failures.len() as u64;
        let all = self.seeds.end - self.seeds.start;
        let rate = done as f64 / started.elapsed().as_secs_f64();
        let left = (all - done) as f64 / rate;
        let line = format!(
            "{done} of {all} seeds, {} failed, {:.0} a minute, {left:.0} s left",
            state.report.failures.len(),
            60.0 * rate
        );
        let mut out = io::stderr();
        // A sweep goes on if its progress cannot be shown.
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

/// Waits for a process. Returns true if it ended by itself, and its two outputs.
fn wait(mut child: Child) -> Result<(bool, String, String), String> {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let reader = |stream: Option<Box<dyn Read + Send>>| {
        thread::spawn(move || {
            let mut bytes = vec![];
            // A pipe that breaks has given all its bytes.
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

/// Returns the line that says which promise is broken.
pub fn headline(what: &str) -> String {
    let mut lines = what.lines();
    let panic = lines.find(|line| line.contains("panicked at"));
    let said = panic.and_then(|_| lines.next());
    let said = said.or(what.lines().last()).unwrap_or("ended without a word");
    said.trim_start_matches("assertion `left == right` failed: ").to_string()
}

impl SweepReport {
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

/// Returns a new folder, in memory where possible: files of a simulation need no disk.
pub fn scratch() -> io::Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("aspen-sim-").tempdir_in(place)
}
