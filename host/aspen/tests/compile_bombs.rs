//! Uploads made to be hard to compile: refused, while the node that compiles them goes on serving.
//!
//! A component beyond the limits of the upload check never reaches a compiler. The limits of the process
//! that tries to compile stop a component that keeps to them and is still too hard.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unreachable,
    reason = "a test fails by a panic, also in its helper functions"
)]

use std::cell::Cell;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use aspen_functions::{COMPILE_MEMORY_MIB, CompileCheck, CompileError, Level, check};

const ASPEN: &str = env!("CARGO_BIN_EXE_aspen");

/// Limits of tests, so that they are soon over.
const SECONDS: u64 = 2;

fn component(functions: &str) -> Vec<u8> {
    let text = format!(
        r#"(component (core module $m {functions} (func (export "run")))
            (core instance $i (instantiate $m))
            (func (export "run") (canon lift (core func $i "run"))))"#
    );
    wat::parse_str(text).unwrap()
}

fn locals(count: usize) -> String {
    format!("(local {})", "i32 ".repeat(count))
}

/// Loops inside each other, and this in the innermost.
fn nested(depth: usize, inside: &str) -> String {
    format!("{}{inside}{}", "(loop ".repeat(depth), ")".repeat(depth))
}

/// Within all limits: functions of the largest body, with the most locals, full of nested loops.
fn hard(functions: usize) -> Vec<u8> {
    let group = nested(240, "(local.set 1 (i32.add (local.get 2) (local.get 3)))");
    let body = format!("(func {} {})", locals(1000), group.repeat(84));
    component(&body.repeat(functions))
}

fn run(
    check: CompileCheck,
    level: Level,
    component: &[u8],
    is_given_up: &dyn Fn() -> bool,
) -> Result<(), CompileError> {
    let turn = check.turn(component.len(), is_given_up)?;
    check.run(&turn, level, component, None, is_given_up)
}

fn apart() -> CompileCheck {
    CompileCheck::new(ASPEN, "compile-check").with_limits(SECONDS, COMPILE_MEMORY_MIB)
}

/// Processes that this process, or the one with this id, started and that are not waited for.
fn children(of: u32) -> Vec<u32> {
    let ids = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u32>().ok());
    let is_child = |id: &u32| {
        // The fourth field is the parent; the second may hold blanks.
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let parent =
            stat.rsplit_once(')').and_then(|(_, rest)| rest.split(' ').nth(2)?.parse().ok());
        parent == Some(of)
    };
    ids.filter(is_child).collect()
}

#[test]
fn bombs_beyond_the_limits_reach_no_compiler() {
    let refused = |bytes: Vec<u8>, what: &str| {
        let start = Instant::now();
        let error = check(&bytes).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    };
    // They took 243 s, 43 s and 4.9 GB.
    let loops = format!("(func {} {})", locals(1000), nested(0, "(loop) ").repeat(60_000));
    refused(component(&loops), "bytes in one function");
    refused(component(&format!("(func {})", nested(4681, ""))), "nested blocks");
    let ifs = "(if (local.get 0) (then (local.set 1 (i32.const 1))))".repeat(60_000);
    refused(component(&format!("(func {} {ifs})", locals(2000))), "bytes in one function");
    let ifs = "(if (local.get 0) (then (local.set 1 (i32.const 1))))".repeat(4_000);
    refused(component(&format!("(func {} {ifs})", locals(2000))), "locals");
}

#[test]
fn bomb_within_the_limits_is_stopped_by_its_time() {
    let bomb = hard(24);
    check(&bomb).unwrap();
    let start = Instant::now();
    let error = run(apart(), Level::None, &bomb, &|| false).unwrap_err();
    assert!(matches!(error, CompileError::TooSlow { .. }), "{error}");
    assert_eq!(error.to_string(), "component takes more than 2 s to compile");
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

#[test]
fn bomb_within_the_limits_is_stopped_by_its_memory() {
    let apart = CompileCheck::new(ASPEN, "compile-check").with_limits(60, 160);
    let error = run(apart, Level::Speed, &hard(24), &|| false).unwrap_err();
    assert!(matches!(error, CompileError::TooLarge { .. }), "{error}");
}

#[test]
fn good_component_passes_and_a_bad_one_says_why() {
    run(apart(), Level::None, &component(""), &|| false).unwrap();
    run(apart(), Level::Speed, &component(""), &|| false).unwrap();
    let error = run(apart(), Level::None, b"\0asm\x0d\0\x01\0\xff", &|| false).unwrap_err();
    assert!(matches!(error, CompileError::Unfit { .. }), "{error}");
    let nowhere = CompileCheck::new("/does/not/exist", "compile-check");
    let error = run(nowhere, Level::None, &component(""), &|| false).unwrap_err();
    assert!(matches!(error, CompileError::Start { .. }), "{error}");
}

#[test]
fn upload_that_nobody_waits_for_leaves_no_process() {
    // A limit that no other test has, to know its process by.
    let apart = apart().with_limits(37, COMPILE_MEMORY_MIB);
    let ours = || {
        let all = children(std::process::id()).into_iter();
        let line = |id: u32| fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
        all.filter(|id| line(*id).contains("\x00none\x0037\x00")).count()
    };
    let (start, most) = (Instant::now(), Cell::new(0));
    let is_given_up = || {
        most.set(most.get().max(ours()));
        // Not before it exists.
        most.get() > 0 && start.elapsed() > Duration::from_millis(300)
    };
    let error = run(apart, Level::None, &hard(24), &is_given_up).unwrap_err();
    assert!(matches!(error, CompileError::GivenUp), "{error}");
    assert_eq!((most.get(), ours()), (1, 0));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

/// A node of its own, killed when it goes out of scope.
struct Node(Child);

impl Node {
    fn start(dir: &Path) -> Node {
        let mut command = Command::new(ASPEN);
        command.args(["dev", dir.to_str().unwrap()]).stdout(Stdio::piped());
        let mut node = Node(command.spawn().unwrap());
        let mut line = String::new();
        BufReader::new(node.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("ready"), "{line}");
        node
    }

    /// The process that compiles for this node, once there is one: until its program runs it is a copy
    /// of the node, files and all.
    fn compiling(&self) -> u32 {
        let until = Instant::now() + Duration::from_secs(20);
        let words = |id: u32| fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let runs = |child: &u32| words(*child) != words(self.0.id());
        loop {
            if let Some(child) = children(self.0.id()).into_iter().find(runs) {
                return child;
            }
            assert!(Instant::now() < until, "no process compiles");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Ended already, as a rule.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn aspen(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(ASPEN);
    command.arg("--connect").arg(dir).args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[test]
fn node_serves_while_it_compiles_a_bomb_and_stops_without_waiting_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("cluster");
    let file = folder.path().join("bomb.wasm");
    fs::write(&file, hard(28)).unwrap();
    let node = Node::start(&dir);
    let upload = ["upload", file.to_str().unwrap(), "--name", "bomb"];

    let uploading = aspen(&dir, &upload).spawn().unwrap();
    let compiling = node.compiling();
    let files = fs::read_dir(format!("/proc/{compiling}/fd")).unwrap();
    let files = files.map(|file| fs::read_link(file.unwrap().path()).unwrap());
    let files: Vec<_> = files.map(|file| file.display().to_string()).collect();
    // Pipes may be the test's own, which everything below it inherits.
    let of_node =
        |file: &&String| file.starts_with("socket") || file.starts_with(dir.to_str().unwrap());
    assert_eq!(files.iter().find(of_node), None, "it has {files:?}");
    let mut served = 0;
    while children(node.0.id()).contains(&compiling) {
        let put = aspen(&dir, &["put", "key", "value"]).output().unwrap();
        assert!(put.status.success(), "{}", text(&put));
        served += 1;
    }
    let uploaded = uploading.wait_with_output().unwrap();
    assert_eq!(uploaded.status.code(), Some(1));
    assert!(text(&uploaded).contains("takes more than 10 s to compile"), "{}", text(&uploaded));
    assert!(served > 3, "{served} requests served meanwhile");

    let mut uploading = aspen(&dir, &upload).spawn().unwrap();
    let compiling = node.compiling();
    let start = Instant::now();
    let id = node.0.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let mut node = node;
    assert!(node.0.wait().unwrap().success());
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert!(!Path::new(&format!("/proc/{compiling}")).exists(), "it is gone with the node");
    uploading.kill().unwrap();
    uploading.wait().unwrap();
}

/// A node that has no time to do anything: its child notices.
#[test]
fn process_ends_with_the_node_that_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("cluster");
    let file = folder.path().join("bomb.wasm");
    fs::write(&file, hard(28)).unwrap();
    let node = Node::start(&dir);
    let upload = ["upload", file.to_str().unwrap(), "--name", "bomb"];
    let mut uploading = aspen(&dir, &upload).spawn().unwrap();
    let compiling = node.compiling();
    drop(node);
    let until = Instant::now() + Duration::from_secs(20);
    let is_running = || {
        let stat = fs::read_to_string(format!("/proc/{compiling}/stat")).unwrap_or_default();
        // Its new parent may leave it as a zombie.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
    };
    while is_running() {
        assert!(Instant::now() < until, "it compiles on");
        thread::sleep(Duration::from_millis(20));
    }
    uploading.kill().unwrap();
    uploading.wait().unwrap();
}
