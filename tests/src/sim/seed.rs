//! One seed, one run: in a fresh thread of a fresh process.
//!
//! Fresh, because libraries draw chance once per thread or process (hash seeds, counters), and a
//! seed found in a long sweep must do the same alone. Chance that comes from the operating system
//! while the run lasts is madsim's.

use std::collections::BTreeMap;
use std::future::Future;
use std::thread;
use std::time::{Duration, Instant};

use madsim::runtime::Runtime;
use madsim::time::TimeHandle;

use super::fault_kind::FaultKind;
use super::trace::Trace;

/// Functions run on the thread of the simulation, with nodes, clients and executor above them.
const STACK_BYTES: usize = aspen_functions::STACK_BYTES + (48 << 20);

/// The result of a run that passed.
pub struct Report {
    /// The trace's text.
    pub trace: String,
    /// Messages sent.
    pub messages: u64,
    /// Faults, by kind.
    pub faults: BTreeMap<FaultKind, u64>,
    /// The time of the run by the simulated clock.
    pub simulated: Duration,
    /// The time of the run by the real clock.
    pub real: Duration,
}

/// Runs `scenario` under `seed`, in a thread of its own.
///
/// With `is_shown` events are printed as they happen.
pub fn run_seed<S, F>(seed: u64, is_shown: bool, scenario: S) -> Report
where
    S: FnOnce(Trace) -> F + Send + 'static,
    F: Future<Output = ()> + 'static,
{
    let started = Instant::now();
    let simulation = move || {
        // First of all in this thread: it decides the thread's hash seeds.
        let runtime = Runtime::with_seed_and_config(seed, madsim::Config::default());
        let trace = Trace::new(is_shown);
        let simulated = runtime.block_on(async {
            scenario(trace.clone()).await;
            trace.checkpoint();
            TimeHandle::current().elapsed()
        });
        drop(runtime);
        (trace.text(), trace.messages(), trace.faults(), simulated)
    };
    let thread = thread::Builder::new().stack_size(STACK_BYTES).spawn(simulation);
    let ended = thread.expect("there is room for a thread").join();
    let (trace, messages, faults, simulated) =
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    Report { trace, messages, faults, simulated, real: started.elapsed() }
}
