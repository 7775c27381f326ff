//! Edges between crates that must be absent. Each absent edge is an invariant: see ARCHITECTURE.md.

use std::fs;

use crate::sources::{assert_none, root};

/// Crates of `host`, each with the beginnings of the dependencies that it may not have.
const ABSENT: [(&str, &[&str]); 6] = [
    ("core", &["aspen-", "tokio", "rand", "wasmtime", "rusqlite"]),
    ("store", &["aspen-functions", "aspen-net", "aspen-node", "aspen-client", "wasmtime"]),
    ("functions", &["aspen-store", "aspen-net", "aspen-node", "aspen-client", "tokio"]),
    ("net", &["aspen-store", "aspen-functions", "aspen-node", "aspen-client"]),
    ("client", &["aspen-store", "aspen-functions", "aspen-node", "wasmtime", "rusqlite"]),
    ("node", &["iroh"]),
];

/// The names in every table of a manifest that holds dependencies of the product, for any target.
fn dependencies(manifest: &str) -> Vec<&str> {
    let mut is_read = false;
    let mut names = vec![];
    for line in manifest.lines().map(str::trim) {
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            let (before, name) = table.rsplit_once("dependencies").unwrap_or((table, "no"));
            let is_ours = before.is_empty() || before.ends_with('.');
            is_read = is_ours && name.is_empty();
            names.extend(name.strip_prefix('.').filter(|_| is_ours));
        } else if is_read && !line.starts_with('#') {
            let end = line.find(|c: char| c == '.' || c == '=' || c.is_whitespace());
            names.extend(end.map(|end| line[..end].trim_matches('"')));
        }
    }
    names
}

fn check(name: &str, manifest: &str, absent: &[&str]) -> Vec<String> {
    let mut findings = vec![];
    for dependency in dependencies(manifest) {
        if absent.iter().any(|beginning| dependency.starts_with(beginning)) {
            findings.push(format!("host/{name}/Cargo.toml: {name} may not depend on {dependency}"));
        }
    }
    findings
}

#[test]
fn crates_know_only_whom_they_may() {
    for (name, absent) in ABSENT {
        let manifest = fs::read_to_string(root().join("host").join(name).join("Cargo.toml"));
        let manifest = manifest.unwrap();
        assert!(!dependencies(&manifest).is_empty(), "{name}: dependencies are found");
        assert_none(check(name, &manifest, absent));
    }
}

#[test]
fn an_edge_that_must_be_absent_is_found_in_every_table() {
    let refused = |table: &str| {
        let manifest = format!("[package]\nname = \"x\"\n\n{table}\n");
        check("x", &manifest, &["aspen-", "tokio"])
    };
    for table in [
        "[dependencies]\ntokio.workspace = true",
        "[dependencies]\nbytes = \"1\"\ntokio = \"1\"",
        "[dependencies]\n\"tokio-real\" = { version = \"1\" }",
        "[dependencies.tokio]\nversion = \"1\"",
        "[target.'cfg(madsim)'.dependencies]\n# For a reason.\naspen-core.workspace = true",
        "[target.'cfg(unix)'.dependencies.tokio]\nversion = \"1\"",
    ] {
        assert_eq!(refused(table).len(), 1, "{table}");
    }
    for table in [
        "[dependencies]\nbytes = \"1\" # not tokio",
        "[dev-dependencies]\ntokio = \"1\"",
        "[dependencies]\n# tokio = \"1\"\nmy-tokio = \"1\"",
    ] {
        assert_eq!(refused(table), [""; 0], "{table}");
    }
}
