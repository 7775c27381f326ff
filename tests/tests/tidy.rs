//! What a machine can check of how the code reads: headers, sizes, words that must not be there.

#![cfg(not(madsim))]

use std::path::{Path, PathBuf};

/// Longest file, tests included.
const LINES_MAX: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Rust file of the project, with its text.
fn sources() -> Vec<(PathBuf, String)> {
    let mut folders: Vec<PathBuf> = ["host", "guest-sdk", "examples", "tests", "benches"]
        .iter()
        .map(|folder| root().join(folder))
        .collect();
    let mut files = vec![];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                files.push((path, text));
            }
        }
    }
    assert!(files.len() > 50, "the files are found");
    files
}

#[test]
fn tidy_every_file_says_what_it_is() {
    for (path, text) in sources() {
        assert!(text.starts_with("//!"), "{} has no header", path.display());
    }
}

#[test]
fn tidy_files_stay_readable_in_one_sitting() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines, limit is {LINES_MAX}", path.display());
    }
}

#[test]
fn tidy_nothing_is_left_open() {
    // Put together here, so that this file does not find itself.
    let words =
        [["to", "do!("], ["unimple", "mented!("], ["#[ig", "nore"], ["FIX", "ME"], ["dbg", "!("]];
    for (path, text) in sources() {
        for word in words.map(|parts| parts.concat()) {
            assert!(!text.contains(&word), "{} has {word}", path.display());
        }
    }
}

/// Each edge that is absent is an invariant; see ARCHITECTURE.md.
#[test]
fn tidy_crates_know_only_whom_they_may() {
    let absent = [
        ("core", &["aspen-", "tokio", "rand", "wasmtime", "rusqlite"][..]),
        ("store", &["aspen-functions", "aspen-net", "aspen-node", "aspen-client", "wasmtime"]),
        ("functions", &["aspen-store", "aspen-net", "aspen-node", "aspen-client", "tokio"]),
        ("net", &["aspen-store", "aspen-functions", "aspen-node", "aspen-client"]),
        ("client", &["aspen-store", "aspen-functions", "aspen-node", "wasmtime", "rusqlite"]),
        ("node", &["iroh"]),
    ];
    for (name, others) in absent {
        let manifest = std::fs::read_to_string(root().join("host").join(name).join("Cargo.toml"));
        let manifest = manifest.unwrap();
        let dependencies = manifest.split("[dependencies]").nth(1).unwrap();
        let dependencies = dependencies.split("\n[").next().unwrap();
        for other in others {
            assert!(!dependencies.contains(other), "{name} depends on {other}");
        }
    }
}
