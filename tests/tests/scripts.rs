//! Golden scripts: every file of `tests/scripts` prints what stands in it.
//!
//! `UPDATE_SCRIPTS=1 cargo test --workspace --test scripts` rewrites the outputs; read the difference
//! before it is kept.

#![cfg(not(madsim))]

use std::path::{Path, PathBuf};

use aspen_tests::script::run;

/// The folders of `tests/scripts`, each with a test of its own below.
const AREAS: [&str; 7] =
    ["leases", "names", "placement", "schedules", "sessions", "two_phase", "txn"];

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(folder);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The first line that differs.
fn difference(wanted: &str, got: &str) -> String {
    let lines = |text: &str| text.lines().map(str::to_string).collect::<Vec<_>>();
    let (wanted, got) = (lines(wanted), lines(got));
    let at = (0..).find(|n| wanted.get(*n) != got.get(*n)).unwrap();
    let shown = |lines: &[String]| lines.get(at).cloned().unwrap_or_else(|| "(the end)".into());
    format!("line {}:\n  wanted: {}\n  got:    {}", at + 1, shown(&wanted), shown(&got))
}

/// Runs the scripts of an area, of which there are `least` or more.
fn check(area: &str, least: usize) {
    let update = std::env::var_os("UPDATE_SCRIPTS").is_some();
    let files = files(area);
    assert!(files.len() >= least, "the scripts are found");
    let mut differ = vec![];
    for file in files {
        let wanted = std::fs::read_to_string(&file).unwrap();
        assert!(wanted.starts_with("# "), "{} does not say what it shows", file.display());
        let got = run(&wanted);
        if update {
            std::fs::write(&file, &got).unwrap();
        } else if got != wanted {
            differ.push(format!("{}, {}", file.display(), difference(&wanted, &got)));
        }
    }
    assert!(differ.is_empty(), "{} scripts differ:\n{}", differ.len(), differ.join("\n"));
}

#[test]
fn scripts_of_transactions_print_what_stands_in_them() {
    check("txn", 15);
}

#[test]
fn scripts_of_two_phase_commit_print_what_stands_in_them() {
    check("two_phase", 8);
}

#[test]
fn scripts_of_sessions_print_what_stands_in_them() {
    check("sessions", 6);
}

#[test]
fn scripts_of_leases_print_what_stands_in_them() {
    check("leases", 6);
}

#[test]
fn scripts_of_names_print_what_stands_in_them() {
    check("names", 6);
}

#[test]
fn scripts_of_schedules_print_what_stands_in_them() {
    check("schedules", 7);
}

#[test]
fn scripts_of_placement_print_what_stands_in_them() {
    check("placement", 7);
}

#[test]
fn every_area_of_scripts_is_run() {
    let found: Vec<String> = files("")
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(found, AREAS);
}

#[test]
fn a_script_that_prints_something_else_is_found() {
    let wanted = "# A claim.\nset a 1\n---\nset a: version 2\ncommitted at revision 1\n";
    let got = run(wanted);
    assert_eq!(
        difference(wanted, &got),
        "line 4:\n  wanted: set a: version 2\n  got:    set a: version 1"
    );
}
