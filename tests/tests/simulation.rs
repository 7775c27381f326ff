//! The simulator at work: seeds that pass, bugs of the past, and defects that it must find.
//!
//! Promises that a run takes its share of the seeds and of the defects, another with every commit, and
//! that it prints the share and the command that takes the same one again (`aspen_tests::share`).
//! Each seed is a process of its own, of the program `aspen-sim`. In a normal build this file is empty.
//!
//! `cargo sim-test --test simulation -- --nocapture`, or `make test-all` with every seed and defect. The
//! simulation and the replay of a seed: `docs/testing.md`. Long sweeps are `make sim SEEDS=2000`.
#![cfg(madsim)]

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::process::Command;

use aspen_core::defect::Defect;
use aspen_tests::guests::component;
use aspen_tests::share::Share;
use aspen_tests::sweep::{Sweep, SweepReport, headline, scratch};

const SIM: &str = env!("CARGO_BIN_EXE_aspen-sim");

/// Seeds of the sweep, of all shares together: more are for `make sim`.
const SEEDS: Range<u64> = 1..151;

/// Seeds of each scenario of the past, and of the tests of one mechanism.
const SCENARIO_SEEDS: Range<u64> = 1..13;

/// Seeds of transactions across shards.
const ACROSS_SEEDS: Range<u64> = 1..41;

/// Seeds that a planted defect may take to be found: many times more than the slowest takes, a stale read, which
/// needs a client that stays with a leader that was cut off.
const DEFECT_SEEDS: Range<u64> = 1..2_001;

/// The simulator, with the components that its runs upload, built once per test.
struct Simulator {
    components: tempfile::TempDir,
    share: Share,
}

impl Simulator {
    fn build() -> Simulator {
        let components = scratch().unwrap();
        for name in ["bank", "purchases"] {
            fs::write(components.path().join(name), component(name)).unwrap();
        }
        Simulator { components, share: Share::of_this_run() }
    }

    /// Runs this run's share of the seeds, all of which must pass.
    fn must_pass(&self, args: &[&str], seeds: Range<u64>) {
        let (seeds, args) = (self.share.range(seeds), args.join(" "));
        let share = self.share.variable();
        println!("seeds {} to {} ({share}): {args}", seeds.start, seeds.end - 1);
        let report = self.sweep(&args, seeds);
        if let Some(failure) = report.failures.first() {
            let (seed, message) = (failure.seed, &failure.what);
            panic!("seed {seed} fails, replay with `cargo sim run {seed} {args}`:\n{message}");
        }
        println!("{} seeds passed in {:.0} s", report.passed, report.took.as_secs_f64());
    }

    /// Runs seeds until one fails. The arguments stand between spaces.
    fn sweep(&self, args: &str, seeds: Range<u64>) -> SweepReport {
        let components = self.components.path().to_str().unwrap();
        let fixed = ["run", "--brief", "--components", components];
        let args = fixed.into_iter().chain(args.split_whitespace());
        let sweep = Sweep {
            program: PathBuf::from(SIM),
            args: args.map(String::from).collect(),
            seeds,
            jobs: std::thread::available_parallelism().map_or(1, usize::from),
            stops_at_failure: true,
            is_shown: false,
        };
        sweep.run()
    }
}

#[test]
fn simulation_is_decided_by_its_seed() {
    let simulator = Simulator::build();
    let folder = scratch().unwrap();
    let trace = |seed: u64, name: &str| {
        let path = folder.path().join(name);
        let mut command = Command::new(SIM);
        command.args(["run", "--brief", "--components"]).arg(simulator.components.path());
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
    Simulator::build().must_pass(&[], SEEDS);
}

/// Bugs that seeds found. A seed's story changes with the simulator, so each bug is told by its
/// faults, and twelve seeds try to find it again. The numbers are the seeds that found the bugs.
///
/// No bug: two leaders in one term. openraft orders leaders by term and node, so the higher node
/// may depose the lower one within a term (`invariants/terms.rs`).
#[test]
fn simulation_scenarios_of_the_past_stay_mended() {
    let scenarios: [(&str, &str); 11] = [
        // Seed 8. The leader of shard 0 changed the members of all shards itself. A shard that
        // another node led refused the change. The client was sent to that leader, which sent the
        // client back: no node could be added or removed unless one node led everything. Now each
        // shard's leader changes the members of its shard.
        (
            "nodes join shards that have different leaders",
            "--shards 3 --fault members --fault crash",
        ),
        // Seed 370. SQLite notices pages that make no sense, but not a changed byte of a value. A
        // replica with a damaged state file went on and computed other results. Now rows have
        // checksums: all are compared after an unclean stop, each when it is read.
        //
        // Seed 102080. The number of a file's form changed on the disk. The damaged state was taken
        // for the state of a newer program and refused untouched, instead of being rebuilt. Now the
        // number carries its complement.
        ("a value changes on the disk", "--fault statelost --workload bank --workload counters"),
        // Seed 318. The same for uploaded code, whose name is its checksum.
        ("a component changes on the disk", "--fault statelost --workload uploads"),
        // Seed 177 rotted a log after an unclean stop, which is not mended (docs/testing.md, "What
        // is not covered"). After a clean stop redb refuses the damage, and a new node replaces the
        // halted one.
        ("a log rots after a clean stop", "--fault logrot --fault members"),
        // Seed 10143. A commit of the log recorded how far the log is committed, although the
        // entries themselves could still wait for the next commit. A node that crashed in between
        // did not start again. Now only entries on the disk are recorded as committed.
        ("committed entries wait for a slow disk", "--fault slowdisk --fault restartofall"),
        // Seed 205152. openraft holds the first election at once when a cluster is created, and
        // counts itself as leader while it waits for the votes, so it never tried again and the
        // shard had no leader until a restart. Now the node repeats the first election. The
        // scenario loses 30% of all requests and replies, and at the end, when everything is
        // mended, 5%. With 30% half of a request's attempts fail, each costs a second or two, and
        // 4% of the seeds had a request that was not done within 20 s.
        ("votes of a first election get lost", "--nodes 3 --shards 1 --loss 0.3 --fault clockjump"),
        // A replica's folder is deleted while another node pauses. The replica fetches a snapshot
        // from another replica, keeps its vote, and votes for nobody meanwhile.
        ("a replica is lost", "--fault replicalost --fault pause"),
        // Seed 3132. The list of nodes that may connect stood in the replica's own log. A node that
        // had been away, or had just got an older snapshot, did not know a member that came later.
        // If that member led, the node refused it for ever and never caught up. Now a node that
        // refuses a peer asks the members that it knows who the members are.
        ("the leader joined while a node was away", "--fault logrot --fault members --fault pause"),
        // Seed 4978. A full disk kept entries out of a follower's log while they were applied from
        // memory. At the next start openraft deletes such a log up to the state. The replica's
        // snapshot was older than that, so as a leader it sent the snapshot again and again and
        // nothing after it. Now a replica opens with a snapshot that reaches as far as its log is
        // deleted.
        ("a log is behind its state", "--fault fulldisk --fault crash --fault oneway"),
        // Seed 7991. An index of SQLite says which keys have a lease, and its entries have no
        // checksum. A changed entry passed, and stopped the replica when the lease ended. Now
        // entries of the index are compared with their rows.
        ("an index changes on the disk", "--fault statelost --workload leases"),
        // Seed 148. A shard moved from one of three nodes to another while the third node's disk
        // was full; the new majority committed more; then the shard moved back. The third node had
        // heard of no move. It asked the first node for its vote, which had kept its promises of
        // terms but not of entries, and the two elected a leader that lacked committed entries. Now
        // a deleted replica leaves behind how far its log reached. Until its new log reaches as
        // far, the replica neither votes nor stands for election.
        ("a replica comes back empty", "--nodes 5 --fault move --fault fulldisk --fault blackout"),
    ];
    let simulator = Simulator::build();
    for (name, args) in scenarios {
        print!("{name}: ");
        simulator.must_pass(&[args], SCENARIO_SEEDS);
    }
}

/// Seed 28: the client was told a conflict, and the transaction was done. The client had asked
/// again for a transaction whose answer was late. The second attempt met a conflict, which was told
/// at once, because nothing had been decided; the first attempt then found the conflict gone, and
/// committed. Now such an answer is an entry of the log first. Step by step in
/// `core/tests/two_phase_answers.rs`.
///
/// Seed 171 (with a planted defect of its time): a function across shards did not know its
/// component. A replica that had just begun to lead had an upload still to apply. The reads come
/// from the leaders and are checked at commit, but the component's name was looked up in the state
/// of that replica. Now the name is looked up after a linearizable read.
///
/// The comparison of whole states found: the result of a transaction across shards that did nothing
/// is an entry of its own. For a session that was closed meanwhile, or never existed, that entry
/// was a panic in apply; for a request that its client had acknowledged, the entry was an outcome
/// that only some replicas had. Now such an entry changes nothing.
#[test]
fn simulation_transactions_across_shards_keep_their_promises() {
    let args = ["--workload", "across", "--workload", "branches", "--shards", "5"];
    Simulator::build().must_pass(&args, ACROSS_SEEDS);
}

#[test]
fn simulation_finds_every_planted_defect() {
    let simulator = Simulator::build();
    println!("defects ({}):", simulator.share.variable());
    let defects = Defect::ALL.into_iter().enumerate();
    for (_, defect) in defects.filter(|(place, _)| simulator.share.has(*place)) {
        let args = format!("--defect {} {}", defect.name(), conditions(defect));
        let report = simulator.sweep(&args, DEFECT_SEEDS);
        let Some(failure) = report.failures.first() else {
            panic!("{} is not found by {} seeds", defect.name(), report.passed);
        };
        let seeds = report.passed + 1;
        println!("{} found after {seeds} seeds: {}", defect.name(), headline(&failure.what));
        assert!(!failure.what.contains("hangs"), "found by a promise, not by the clock");
    }
}

/// Returns the arguments under which a defect matters at all.
fn conditions(defect: Defect) -> &'static str {
    match defect {
        // A gate matters only to scans over shards, while a shard answers much later than another.
        Defect::OpenGate => "--workload branches --shards 5",
        Defect::RunAgain => "--workload schedules",
        Defect::OldComponent => "--workload versions",
        // It takes a member that has not heard of two moves.
        Defect::ForgetPromise => "--nodes 5 --fault move --fault partition --workload lists",
        _ => "",
    }
}

#[test]
fn simulation_replica_that_computes_otherwise_is_found_and_rejoins() {
    Simulator::build().must_pass(&["--diverge"], SCENARIO_SEEDS);
}

#[test]
fn simulation_nodes_of_two_versions_go_over_to_the_newer_profile() {
    Simulator::build().must_pass(&["--upgrade"], SCENARIO_SEEDS);
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
