//! Golden scripts: every file of `tests/scripts` prints what stands in it.
//!
//! `UPDATE_SCRIPTS=1 cargo test --workspace --test scripts` rewrites the outputs; read the difference
//! before it is kept.

#![cfg(not(madsim))]

use std::path::{Path, PathBuf};

use aspen_tests::script::run;

fn scripts(folder: &str) -> Vec<PathBuf> {
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

#[test]
fn scripts_of_transactions_print_what_stands_in_them() {
    let update = std::env::var_os("UPDATE_SCRIPTS").is_some();
    let files = scripts("txn");
    assert!(files.len() >= 15, "the scripts are found");
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
