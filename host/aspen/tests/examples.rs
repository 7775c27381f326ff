//! The scripts of the examples, as a reader runs them: built, uploaded, called, compared.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unreachable,
    reason = "a test fails by a panic, also in its helper functions"
)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const ASPEN: &str = env!("CARGO_BIN_EXE_aspen");

/// A cluster of three nodes, killed when it goes out of scope.
struct Cluster(Child);

impl Cluster {
    fn start(dir: &Path, nodes: &str, shards: &str) -> Cluster {
        let mut command = Command::new(ASPEN);
        command.arg("dev").arg(dir).args(["--nodes", nodes, "--shards", shards]);
        command.stdout(Stdio::piped());
        let mut cluster = Cluster(command.spawn().unwrap());
        let mut line = String::new();
        BufReader::new(cluster.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("ready"), "{line}");
        cluster
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Ended already, as a rule.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn process_scripts_of_the_examples_come_to_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("cluster");
    let _cluster = Cluster::start(&dir, "3", "8");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let entries = std::fs::read_dir(&examples).unwrap().map(|entry| entry.unwrap().path());
    // Those with a build.sh are in other languages: see below.
    let is_rust = |path: &PathBuf| path.join("run.sh").exists() && !path.join("build.sh").exists();
    let mut folders: Vec<_> = entries.filter(is_rust).collect();
    folders.sort();
    assert_eq!(folders.len(), 8);
    folders.iter().for_each(|folder| run(folder, &dir));
}

/// Runs the script of an example against a cluster.
fn run(folder: &Path, cluster: &Path) {
    let mut command = Command::new("sh");
    command.arg(folder.join("run.sh")).env("ASPEN", ASPEN).env("ASPEN_CONNECT", cluster);
    let output = command.output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed);
    assert!(output.status.success(), "{}: {printed}", folder.display());
}

/// Needs what `make language-toolchains` installs, which not every machine can reach: what is not there is
/// left out, and this says so; where `CI` is set it fails. One after the other, because compiling them takes a while.
#[test]
fn process_functions_in_other_languages_do_what_the_one_in_rust_does() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let toolchains = [
        ("bank-c", ".clang"),
        ("bank-js", "node_modules/@bytecodealliance/componentize-js"),
        ("bank-py", ".venv/bin/componentize-py"),
    ];
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("cluster");
    let _cluster = Cluster::start(&dir, "1", "2");
    for (example, toolchain) in toolchains {
        let folder = examples.join(example);
        if folder.join(toolchain).exists() {
            run(&folder, &dir);
        } else {
            let told = format!("{example} is left out, see `make language-toolchains`");
            assert!(std::env::var_os("CI").is_none(), "{told}");
            eprintln!("{told}");
        }
    }
}
