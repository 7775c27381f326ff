//! The golden corpus: guests and inputs with the outcome, writes and fuel that they had when the
//! profile was made, to the unit.
//!
//! A log outlives the program that wrote it, and replicas are updated one after the other: what a
//! call comes to must not change unless `PROFILE_VERSION` does. So every line of `expected.txt` is
//! compared on three engines: Cranelift at both optimisation levels, and Pulley, an interpreter of
//! portable code, which shows that nothing depends on this processor or on how code is generated.
//!
//! A difference means that an update or a change of settings would make replicas disagree. If it is
//! wanted, raise `PROFILE_VERSION` in `profile.rs`, and write the file again:
//!
//! ```text
//! ASPEN_GOLDEN=write cargo nextest run -p aspen-functions golden
//! ```
//!
//! New cases may be added to a profile; lines that it has are only rewritten under a new version.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unreachable,
    reason = "a test fails by a panic, also in its helper functions"
)]

#[path = "../guest/mod.rs"]
mod guest;

mod boundaries;
mod faults;
mod host_calls;
mod instructions;
mod memory;
mod operators;
mod programs;
mod values;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::{env, fs};

use aspen_core::codec::encode;
use aspen_core::function::{CallEnd, CallResult, GuestFault};
use aspen_core::ids::ComponentHash;
use aspen_core::placement::ShardRouter;
use aspen_core::val::Val;
use aspen_functions::{Level, Options, PROFILE_VERSION};
use bytes::Bytes;
use guest::Shard;

/// One call, or a row of calls.
pub struct Case {
    /// Its name in the file.
    pub name: String,
    /// The component.
    pub component: Bytes,
    /// The exported function.
    pub function: String,
    /// The question.
    pub ask: Ask,
    /// Shards of the cluster: with more than one, some keys live elsewhere.
    pub shards: u16,
}

/// The question of a case.
pub enum Ask {
    /// One call with these arguments.
    Call(Vec<Val>),
    /// The smallest `u32`, up to this one, with which the call does not return.
    Boundary(u32),
}

impl Case {
    /// A call of `run` without arguments.
    pub fn new(name: impl Into<String>, component: Bytes) -> Case {
        let function = "run".to_string();
        Case { name: name.into(), component, function, ask: Ask::Call(vec![]), shards: 1 }
    }

    /// The same with arguments.
    pub fn with(self, args: Vec<Val>) -> Case {
        Case { ask: Ask::Call(args), ..self }
    }
}

/// FNV-1a in 64 bits: files hold hashes of long values.
pub fn hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

fn cases() -> Vec<Case> {
    let mut cases = vec![];
    operators::add(&mut cases);
    instructions::add(&mut cases);
    host_calls::add(&mut cases);
    values::add(&mut cases);
    faults::add(&mut cases);
    memory::add(&mut cases);
    boundaries::add(&mut cases);
    programs::add(&mut cases);
    cases
}

fn shard(level: Level) -> Shard {
    let mut shard = Shard::with(Options { level, ..Options::default() });
    for (key, version) in [("a", 5), ("b", 1), ("c", 900), ("elsewhere", 2)] {
        shard.set(key, &format!("value of {key}"), version);
    }
    shard.set("account/ada", "\u{64}\0\0\0\0\0\0\0", 1);
    shard.set("account/ben", "\u{5}\0\0\0\0\0\0\0", 3);
    for at in 0..1200 {
        shard.set(&format!("n/{at:04}"), &"x".repeat(at % 40), at as u64 + 1);
    }
    for at in 0..3 {
        shard.set(&format!("v/{at}"), &"large".repeat(120_000), 1);
    }
    shard
}

fn short(bytes: &[u8]) -> String {
    match bytes.len() {
        0..=24 => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        length => format!("{:016x}/{length}", hash(bytes)),
    }
}

/// Returns the bytes after that of the codec's form, which does not depend on a function.
fn body(encoded: &[u8]) -> &[u8] {
    &encoded[1..]
}

/// The result of a call as its line has it.
fn line(result: &CallResult) -> String {
    let mut line = match &result.end {
        CallEnd::Returned(bytes) => format!("returned {}", short(bytes)),
        CallEnd::Aborted(bytes) => format!("aborted {}", short(bytes)),
        CallEnd::Faulted(GuestFault::WrongShard { key, shard }) => {
            format!("faulted WrongShard {key} {shard}")
        }
        CallEnd::Faulted(fault) => format!("faulted {fault:?}"),
        CallEnd::Refused(refusal) => format!("refused {refusal:?}"),
    };
    let text = "writing to a string cannot fail";
    write!(line, ", fuel {}", result.fuel.get()).expect(text);
    if !result.writes.is_empty() {
        let writes = encode(&result.writes);
        write!(line, ", {} writes {}", result.writes.len(), short(body(&writes))).expect(text);
    }
    if !result.log.is_empty() {
        let log = encode(&result.log);
        write!(line, ", {} lines {}", result.log.len(), short(body(&log))).expect(text);
    }
    line
}

fn answer(shard: &Shard, component: ComponentHash, case: &Case) -> String {
    let call = |args: &[Val]| shard.call(component, &case.function, args);
    match &case.ask {
        Ask::Call(args) => line(&call(args)),
        Ask::Boundary(most) => {
            let is_good = |number| {
                let result = call(&[Val::U32(number)]);
                matches!(result.end, CallEnd::Returned(_))
            };
            let (mut good, mut bad) = (0, *most);
            assert!(is_good(good) && !is_good(bad), "{} has no boundary", case.name);
            while bad - good > 1 {
                let middle = good + (bad - good) / 2;
                *(if is_good(middle) { &mut good } else { &mut bad }) = middle;
            }
            let [last, first] = [good, bad].map(|number| line(&call(&[Val::U32(number)])));
            format!("up to {good} {last}; then {first}")
        }
    }
}

/// Every case on one engine, by name.
fn run(level: Level) -> BTreeMap<String, String> {
    let mut shard = shard(level);
    let mut answers = BTreeMap::new();
    for case in cases() {
        let component = shard.upload(&case.component);
        shard.router = ShardRouter::new(case.shards).unwrap();
        shard.shard = shard.router.shard(b"a");
        let answer = answer(&shard, component, &case);
        assert!(
            answers.insert(case.name.clone(), answer).is_none(),
            "{} is there twice",
            case.name
        );
    }
    answers
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/expected.txt")
}

/// The version and the lines of the file.
fn expected() -> (u32, BTreeMap<String, String>) {
    let text = fs::read_to_string(path()).unwrap_or_default();
    let mut lines = text.lines();
    let version = lines.next().and_then(|line| line.strip_prefix("profile ")?.parse().ok());
    let split = |line: &str| {
        let (name, answer) = line.split_once(": ").expect("a line is `name: answer`");
        (name.to_string(), answer.to_string())
    };
    (version.unwrap_or(0), lines.map(split).collect())
}

/// Returns the differences, at most ten lines of them.
fn differences(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> String {
    let differs = |name: &&String| new.get(*name) != old.get(*name);
    let names: Vec<_> = old.keys().filter(differs).collect();
    let show = |name: &&String| {
        let gone = "is gone".to_string();
        format!("\n  {name}\n    was {}\n    now {}", old[*name], new.get(*name).unwrap_or(&gone))
    };
    let shown: String = names.iter().take(10).map(show).collect();
    if names.is_empty() { shown } else { format!("{} cases differ:{shown}", names.len()) }
}

fn check(level: Level) {
    let (version, old) = expected();
    let new = run(level);
    let different = differences(&old, &new);
    let is_writing = env::var("ASPEN_GOLDEN").is_ok_and(|value| value == "write");
    assert!(
        different.is_empty() || (is_writing && version != PROFILE_VERSION),
        "{level:?}: calls come to something else than they did in profile {version}. Replicas of \
         different versions would disagree: if this is wanted, it needs a new PROFILE_VERSION, and \
         then ASPEN_GOLDEN=write. {different}"
    );
    if is_writing && level == Level::None {
        let mut text = format!("profile {PROFILE_VERSION}\n");
        text.extend(new.iter().map(|(name, answer)| format!("{name}: {answer}\n")));
        fs::write(path(), text).unwrap();
        return;
    }
    if !is_writing {
        assert_eq!(version, PROFILE_VERSION, "expected.txt is of another profile");
        let unknown: Vec<_> = new.keys().filter(|name| !old.contains_key(*name)).collect();
        assert!(unknown.is_empty(), "not in expected.txt, write it again: {unknown:?}");
    }
}

#[test]
fn golden_calls_are_as_ever_unoptimised() {
    check(Level::None);
}

#[test]
fn golden_calls_are_as_ever_optimised() {
    check(Level::Speed);
}

#[test]
fn golden_calls_are_as_ever_on_a_portable_interpreter() {
    check(Level::Portable);
}
