//! One seed, one run: in a fresh thread of a fresh process.
//!
//! Fresh, because libraries draw chance once per thread or process (hash seeds, counters), and a
//! seed found in a long sweep must do the same alone. Chance that comes from the operating system
//! while the run lasts is madsim's.

use std::future::Future;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use madsim::runtime::Runtime;
use madsim::time::TimeHandle;

use super::trace::Trace;

/// Functions run on the thread of the simulation, with nodes, clients and executor above them.
const STACK_BYTES: usize = aspen_functions::STACK_BYTES + (48 << 20);

/// Set in the environment to see events as they happen: for a run that fails.
const SHOW: &str = "ASPEN_SIM_SHOW";

/// What a run came to.
pub struct Report {
    /// The trace's text.
    pub trace: String,
    /// Messages sent.
    pub messages: u64,
    /// How long it took by the simulated clock.
    pub simulated: Duration,
    /// How long it took by the real one.
    pub real: Duration,
}

/// Runs `scenario` under `seed`, in a thread of its own.
pub fn run_seed<S, F>(seed: u64, scenario: S) -> Report
where
    S: FnOnce(Trace) -> F + Send + 'static,
    F: Future<Output = ()> + 'static,
{
    let started = Instant::now();
    let simulation = move || {
        // First of all in this thread: it decides the thread's hash seeds.
        let runtime = Runtime::with_seed_and_config(seed, madsim::Config::default());
        let trace = Trace::new(std::env::var_os(SHOW).is_some());
        let simulated = runtime.block_on(async {
            scenario(trace.clone()).await;
            trace.checkpoint();
            TimeHandle::current().elapsed()
        });
        drop(runtime);
        (trace.text(), trace.messages(), simulated)
    };
    let thread = thread::Builder::new().stack_size(STACK_BYTES).spawn(simulation);
    let ended = thread.expect("there is room for a thread").join();
    let (trace, messages, simulated) =
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    Report { trace, messages, simulated, real: started.elapsed() }
}

/// Runs test `name` of this program in a process of its own, with `folder` and `seed` in its
/// environment under the given names, and returns what it printed.
///
/// # Panics
/// If it fails: the message is what it printed.
pub fn in_fresh_process(name: &str, folder: (&str, &Path), seed: (&str, u64)) -> String {
    let program = std::env::current_exe().expect("this program has a path");
    let mut child = Command::new(program);
    child.args([name, "--exact", "--nocapture", "--test-threads=1"]);
    child.env(folder.0, folder.1).env(seed.0, seed.1.to_string());
    let output = child.output().expect("this program runs again");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "seed {} fails:\n{printed}\n{errors}", seed.1);
    printed
}
