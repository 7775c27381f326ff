//! The CPU time that hostile guests get for their fuel: time per million, and of a whole call.
//!
//! Apply runs one entry after the other, so a call that is cheap in fuel and dear in time would let
//! one user stop all others. Each attack repeats its work until its fuel ends, or until a limit
//! other than fuel ends it. The state is in memory, as the data that a shard uses are in its caches.
//! Attacks that end early are about a cost that comes once per call: for them the whole call counts.

use std::fs;

use aspen_core::function::{CallInput, Functions};
use aspen_core::ids::{Caller, ComponentHash, LeaseId, Revision, ShardId, Timestamp, Version};
use aspen_core::key::{Key, Value};
use aspen_core::placement::ShardRouter;
use aspen_core::state::{Model, State};
use aspen_core::val::{Val, encode_vals};
use aspen_core::view::Record;
use aspen_functions::{Level, Options, STACK_BYTES, WasmFunctions};
use bytes::Bytes;

use crate::attack_guests::{Attack, attacks};
use crate::failure::Failure;

/// The most that a million fuel should buy.
const GOAL_US: f64 = 1_000.0;

/// The most that a call should take if its attack is about a cost which comes once.
const ONCE_GOAL_US: f64 = 10_000.0;

/// The number of times that each attack runs; the fastest run counts, which others on the machine
/// disturbed least.
const ROUNDS: usize = 5;

const KEYS: u32 = 20_000;

/// The result of one attack.
struct AttackResult {
    name: String,
    us: f64,
    fuel: u64,
    end: String,
}

impl AttackResult {
    fn per_million(&self) -> f64 {
        self.us / (self.fuel as f64 / 1e6)
    }

    fn is_too_much(&self) -> bool {
        let is_over = self.per_million() > GOAL_US;
        is_over && (!self.name.starts_with("once: ") || self.us > ONCE_GOAL_US)
    }
}

/// Runs every attack, at both optimisation levels.
pub fn measure() -> Result<(), Failure> {
    println!("\nhostile calls: CPU per million fuel, and of the whole call");
    for level in [Level::None, Level::Speed] {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let run = move || run(level).map_err(|error| error.to_string());
        let got = thread.spawn(run)?.join().map_err(|_| "the measuring thread failed")??;
        print(level, got);
    }
    Ok(())
}

fn print(level: Level, mut got: Vec<AttackResult>) {
    got.sort_by(|a, b| b.per_million().total_cmp(&a.per_million()));
    println!("  optimisation {level:?}");
    for one in &got {
        let mark = if one.is_too_much() { '!' } else { ' ' };
        println!(
            "  {mark} {:<44} {:>9.0} us/M {:>8.2} ms  {}",
            one.name,
            one.per_million(),
            one.us / 1e3,
            one.end
        );
    }
    if let Some(longest) = got.iter().max_by(|a, b| a.us.total_cmp(&b.us)) {
        println!("    longest call: {}, {:.1} ms", longest.name, longest.us / 1e3);
    }
    let spent = |one: &&AttackResult| one.fuel >= aspen_core::limits::CALL_FUEL_MAX / 2;
    if let Some(worst) = got.iter().find(spent) {
        println!("    worst of those that spend their fuel: {}", worst.name);
    }
}

fn run(level: Level) -> Result<Vec<AttackResult>, Failure> {
    let functions = WasmFunctions::new(Options { level, ..Options::default() })?;
    let mut model = state()?;
    let mut got = vec![];
    for attack in attacks() {
        got.push(one(&functions, &mut model, attack)?);
    }
    Ok(got)
}

/// Many small keys, and some of the largest values.
fn state() -> Result<Model, Failure> {
    let mut model = Model::new();
    let one = Revision::new(1);
    let mut set = |key: String, value: Vec<u8>| -> Result<(), Failure> {
        let (value, version) = (Value::new(value)?, Version::new(1));
        let lease = LeaseId::NONE;
        let record = Record { value, version, create_revision: one, mod_revision: one, lease };
        Ok(model.set(&Key::try_from(key.as_str())?, record)?)
    };
    for at in 0..KEYS {
        set(format!("n/{at:06}"), vec![b'x'; 16])?;
    }
    for at in 0..4 {
        set(format!("v/{at}"), vec![b'x'; 1 << 20])?;
    }
    Ok(model)
}

fn one(
    functions: &WasmFunctions,
    model: &mut Model,
    attack: Attack,
) -> Result<AttackResult, Failure> {
    let name = attack.name;
    let component = wat::parse_str(&attack.text).map_err(|error| format!("{name}: {error}"))?;
    let component = Bytes::from(component);
    let hash = ComponentHash::of(&component);
    model.set_component(&hash, &component)?;
    let args = encode_vals(&attack.args.map_or(vec![], |arg| vec![arg]) as &[Val])?;
    let input = CallInput {
        component: hash,
        function: "run",
        args: &args,
        shard: ShardId::new(0),
        router: ShardRouter::new(1)?,
        revision: Revision::new(2),
        time: Timestamp::new(0),
        seed: 0,
        caller: Caller::LOCAL,
        profile: aspen_core::ids::ProfileId::FIRST,
    };
    // Compiles.
    let mut result = functions.call(model, &input)?;
    let mut us = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = thread_us()?;
        result = functions.call(model, &input)?;
        us = us.min(thread_us()? - start);
    }
    let mut end = format!("{:?}", result.end);
    end.truncate(end.floor_char_boundary(24));
    Ok(AttackResult { name, us, fuel: result.fuel.get().max(1), end })
}

/// Microseconds of CPU time of this thread, system calls and page faults included.
fn thread_us() -> Result<f64, Failure> {
    // The kernel brings the figure up to date when it schedules; else it is 4 ms old.
    std::thread::yield_now();
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = text.split_whitespace().next().ok_or("schedstat is empty")?;
    Ok(nanoseconds.parse::<f64>()? / 1e3)
}
