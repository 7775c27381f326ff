//! The simulator at work: seeds that pass, bugs of the past, and defects that it must find.
//!
//! `cargo sim-test --workspace --test simulation -- --nocapture`; in a normal build this file is
//! empty. Every run is a process of its own, of the program `aspen-sim`. What is simulated and how
//! to replay a seed: `docs/testing.md`. Long sweeps are `make sim SEEDS=2000`.
#![cfg(madsim)]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use aspen_core::defect::Defect;
use aspen_tests::guests::component;
use aspen_tests::sweep::{Sweep, Swept, headline, scratch};

const SIM: &str = env!("CARGO_BIN_EXE_aspen-sim");

/// Seeds of the sweep: more are for `make sim`.
const SEEDS: u64 = 150;

/// Seeds that a planted defect may take to be found: many times what the slowest takes, a stale read, which
/// needs a client that stays with a leader that was cut off.
const DEFECT_SEEDS: u64 = 2_000;

/// Components, built once per test, as the runs want them.
struct Components(tempfile::TempDir);

impl Components {
    fn build() -> Components {
        let folder = scratch().unwrap();
        for name in ["bank", "purchases"] {
            fs::write(folder.path().join(name), component(name)).unwrap();
        }
        Components(folder)
    }

    fn sweep(&self, args: &[&str], seeds: std::ops::Range<u64>) -> Sweep {
        let folder = self.0.path().to_str().unwrap();
        let all = [&["run", "--brief", "--components", folder], args].concat();
        Sweep {
            program: PathBuf::from(SIM),
            args: all.into_iter().map(String::from).collect(),
            seeds,
            jobs: std::thread::available_parallelism().map_or(1, usize::from),
            stops_at_failure: true,
            is_shown: false,
        }
    }
}

fn must_pass(swept: &Swept) {
    if let Some(failure) = swept.failures.first() {
        panic!("seed {} fails:\n{}", failure.seed, failure.what);
    }
    println!("{} seeds passed in {:.0} s", swept.passed, swept.took.as_secs_f64());
}

#[test]
fn simulation_is_decided_by_its_seed() {
    let components = Components::build();
    let folder = scratch().unwrap();
    let trace = |seed: u64, name: &str| {
        let path = folder.path().join(name);
        let mut command = Command::new(SIM);
        command.args(["run", "--brief", "--components"]).arg(components.0.path());
        command.arg("--trace").arg(&path).arg(seed.to_string());
        assert!(command.status().unwrap().success(), "seed {seed}");
        fs::read_to_string(path).unwrap()
    };
    let mut hashes = BTreeSet::new();
    for seed in [1, 2, 3, 7] {
        let (first, again) = (trace(seed, "first"), trace(seed, "again"));
        if let Some((a, b)) = first.lines().zip(again.lines()).find(|(a, b)| a != b) {
            panic!("seed {seed} did otherwise, first at:\n{a}\n{b}");
        }
        assert_eq!(first.len(), again.len());
        hashes.insert(seahash::hash(first.as_bytes()));
    }
    assert_eq!(hashes.len(), 4, "other seeds do otherwise");
}

#[test]
fn simulation_sweep_keeps_every_promise() {
    let components = Components::build();
    must_pass(&components.sweep(&[], 1..1 + SEEDS).run());
}

/// Each has a paragraph in `docs/testing.md`. A seed's story changes with the simulator, so each is
/// told by its faults, and twelve seeds try to find it again.
#[test]
fn simulation_scenarios_of_the_past_stay_mended() {
    let scenarios: [(&str, &str); 11] = [
        (
            "nodes join shards that have different leaders",
            "--shards 3 --fault members --fault crash",
        ),
        ("a value changes on the disk", "--fault statelost --workload bank --workload counters"),
        ("a component changes on the disk", "--fault statelost --workload uploads"),
        ("a log rots after a clean stop", "--fault logrot --fault members"),
        ("committed entries wait for a slow disk", "--fault slowdisk --fault restartofall"),
        ("votes of a first election get lost", "--nodes 3 --shards 1 --loss 0.3 --fault clockjump"),
        ("a replica is lost", "--fault replicalost --fault pause"),
        ("the leader joined while a node was away", "--fault logrot --fault members --fault pause"),
        ("a log is behind its state", "--fault fulldisk --fault crash --fault oneway"),
        ("an index changes on the disk", "--fault statelost --workload leases"),
        ("a replica comes back empty", "--nodes 5 --fault move --fault fulldisk --fault blackout"),
    ];
    let components = Components::build();
    for (name, args) in scenarios {
        let args: Vec<&str> = args.split(' ').collect();
        print!("{name}: ");
        must_pass(&components.sweep(&args, 1..13).run());
    }
}

#[test]
fn simulation_transactions_across_shards_keep_their_promises() {
    let components = Components::build();
    let args = ["--workload", "across", "--workload", "branches", "--shards", "5"];
    must_pass(&components.sweep(&args, 1..41).run());
}

#[test]
fn simulation_finds_every_planted_defect() {
    let components = Components::build();
    for defect in Defect::ALL {
        // A gate matters only to scans over shards, while a shard answers much later than another.
        let only: &[&str] = match defect {
            Defect::OpenGate => &["--workload", "branches", "--shards", "5"],
            Defect::RunAgain => &["--workload", "schedules"],
            Defect::OldComponent => &["--workload", "versions"],
            // It takes a member that has not heard of two moves.
            Defect::ForgetPromise => {
                &["--nodes", "5", "--fault", "move", "--fault", "partition", "--workload", "lists"]
            }
            _ => &[],
        };
        let args = [&["--defect", defect.name()], only].concat();
        let swept = components.sweep(&args, 1..1 + DEFECT_SEEDS).run();
        let Some(failure) = swept.failures.first() else {
            panic!("{} is not found by {DEFECT_SEEDS} seeds", defect.name());
        };
        let seeds = swept.passed + 1;
        println!("{} found after {seeds} seeds: {}", defect.name(), headline(&failure.what));
        assert!(!failure.what.contains("hangs"), "found by a promise, not by the clock");
    }
}

#[test]
fn simulation_replica_that_computes_otherwise_is_found_and_rejoins() {
    let components = Components::build();
    must_pass(&components.sweep(&["--diverge"], 1..13).run());
}

#[test]
fn simulation_nodes_of_two_versions_go_over_to_the_newer_profile() {
    let components = Components::build();
    must_pass(&components.sweep(&["--upgrade"], 1..13).run());
}

#[test]
fn simulation_refuses_what_it_does_not_know() {
    for args in [&["run", "--defect", "none", "1"][..], &["run", "--workload", "chess", "1"]] {
        let output = Command::new(SIM).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("no defect") || said.contains("is not one of"), "{said}");
    }
}
