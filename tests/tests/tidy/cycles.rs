//! Imports of a crate's files form no cycle of more than three files.
//!
//! A cycle is a set of files each of which reaches every other by imports. Files of such a set can only be
//! understood together.

use std::collections::{BTreeMap, BTreeSet};

use crate::modules::{Import, ModuleTree};
use crate::sources::{CrateSources, assert_none, crates};

/// Most files of a cycle.
const CYCLE_FILES_MAX: usize = 3;

/// The roots of a crate: its library, its program, and further programs.
fn roots(sources: &CrateSources) -> Vec<&str> {
    let is_root = |file: &&str| {
        matches!(*file, "lib.rs" | "main.rs")
            || file.strip_prefix("bin/").is_some_and(|name| !name.contains('/'))
    };
    sources.files.keys().map(String::as_str).filter(is_root).collect()
}

fn check(sources: &CrateSources) -> Vec<String> {
    let mut findings = vec![];
    for root in roots(sources) {
        let imports = ModuleTree::read(sources, root).imports();
        let too_large = cycles(&imports).into_iter().filter(|it| it.len() > CYCLE_FILES_MAX);
        findings.extend(too_large.map(|cycle| described(sources, &cycle, &imports)));
    }
    findings
}

/// The sets of files that reach each other, of two files or more.
fn cycles(imports: &[Import]) -> BTreeSet<BTreeSet<&str>> {
    let mut edges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for import in imports {
        edges.entry(&import.from).or_default().insert(&import.to);
    }
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        edges.keys().map(|file| (*file, reached_from(file, &edges))).collect();
    let mut found = BTreeSet::new();
    for (file, others) in &reached {
        let reaches_back = |other: &&&str| reached.get(**other).is_some_and(|it| it.contains(file));
        let cycle: BTreeSet<&str> = others.iter().filter(reaches_back).copied().collect();
        if cycle.len() > 1 {
            found.insert(cycle);
        }
    }
    found
}

fn reached_from<'a>(file: &str, edges: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut left: Vec<&str> = edges.get(file).into_iter().flatten().copied().collect();
    while let Some(next) = left.pop() {
        if reached.insert(next) {
            left.extend(edges.get(next).into_iter().flatten());
        }
    }
    reached
}

fn described(sources: &CrateSources, cycle: &BTreeSet<&str>, imports: &[Import]) -> String {
    let (folder, count) = (&sources.folder, cycle.len());
    let mut text = format!("{folder}: {count} files are one cycle, limit is {CYCLE_FILES_MAX}:");
    for import in imports {
        let Import { from, line, text: path, to, .. } = import;
        if cycle.contains(&**from) && cycle.contains(&**to) {
            text += &format!("\n  {}:{line}: {path} -> {to}", sources.path(from));
        }
    }
    text
}

#[test]
fn no_crate_has_a_large_cycle() {
    assert_none(crates().iter().flat_map(check).collect());
}

#[test]
fn a_cycle_of_four_files_is_found_and_one_of_three_is_not() {
    let ring = |count: usize, root: &'static str| {
        let names = &["a", "b", "c", "d"][..count];
        let next =
            |at: usize| format!("use crate::{}::X;\npub struct X;\n", names[(at + 1) % count]);
        let lib: String = names.iter().map(|name| format!("mod {name};\n")).collect();
        let mut files = vec![(root.to_string(), lib)];
        let folder = root.strip_suffix("x.rs").unwrap_or_default();
        files.extend((0..count).map(|at| (format!("{folder}{}.rs", names[at]), next(at))));
        let files: Vec<_> = files.iter().map(|(name, text)| (&name[..], &text[..])).collect();
        check(&CrateSources::of(&files))
    };
    for root in ["lib.rs", "main.rs", "bin/x.rs"] {
        assert_eq!(ring(3, root), [""; 0], "{root}");
        assert_eq!(ring(4, root).len(), 1, "{root}");
    }
    let found = ring(4, "lib.rs").remove(0);
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines[0], "host/example: 4 files are one cycle, limit is 3:");
    assert_eq!(lines[1], "  host/example/src/a.rs:1: crate::b::X -> b.rs");
    assert_eq!(lines.len(), 5);
}

#[test]
fn files_that_only_lie_between_are_no_part_of_a_cycle() {
    let files = [
        ("lib.rs", "mod a;\nmod b;\nmod c;\nmod d;\n"),
        ("a.rs", "use crate::b::X;\npub struct X;\n"),
        ("b.rs", "use crate::{a::X as A, c::X as C};\npub struct X;\n"),
        ("c.rs", "use crate::d::X as D;\npub struct X;\n"),
        ("d.rs", "pub struct X;\n"),
    ];
    let tree = ModuleTree::read(&CrateSources::of(&files), "lib.rs");
    let imports = tree.imports();
    assert_eq!(cycles(&imports), BTreeSet::from([BTreeSet::from(["a.rs", "b.rs"])]));
}
