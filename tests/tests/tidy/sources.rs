//! The Rust files of the project, found by walking its folders.
//!
//! Promises that paths are relative to the repository and sorted, so that messages are the same on every
//! machine. Leaves out what the files mean: see `modules.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders with Rust files.
const FOLDERS: [&str; 5] = ["host", "guest-sdk", "examples", "tests", "benches"];

/// A Rust file.
#[derive(Clone, Debug)]
pub struct Source {
    /// Relative to the repository, with `/`.
    pub path: String,
    pub text: String,
}

/// The `src` folder of a crate.
pub struct CrateSources {
    /// The crate's folder, such as `host/core`.
    pub folder: String,
    /// Texts by path relative to `src`, such as `log/writer.rs`.
    pub files: BTreeMap<String, String>,
}

impl CrateSources {
    /// A file's path from the root of the repository.
    pub fn path(&self, file: &str) -> String {
        format!("{}/src/{file}", self.folder)
    }

    /// A crate made of the texts of a test.
    pub fn of(files: &[(&str, &str)]) -> CrateSources {
        let owned = |(file, text): &(&str, &str)| (file.to_string(), text.to_string());
        CrateSources { folder: "host/example".into(), files: files.iter().map(owned).collect() }
    }
}

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Rust file of the project.
pub fn sources() -> Vec<Source> {
    let mut found = vec![];
    for folder in FOLDERS {
        walk(&root(), folder, &mut |path| {
            if path.ends_with(".rs") {
                let text = fs::read_to_string(root().join(path)).unwrap();
                found.push(Source { path: path.to_string(), text });
            }
        });
    }
    assert!(found.len() > 50, "the files are found");
    found
}

/// Every crate of the project: the folders with a `Cargo.toml` and a `src`.
pub fn crates() -> Vec<CrateSources> {
    let sources = sources();
    let mut found = vec![];
    for folder in FOLDERS {
        walk(&root(), folder, &mut |path| {
            if let Some(folder) = path.strip_suffix("/Cargo.toml") {
                found.push(crate_in(folder, &sources));
            }
        });
    }
    found.retain(|it| !it.files.is_empty());
    assert!(found.len() > 8, "the crates are found");
    found
}

fn crate_in(folder: &str, sources: &[Source]) -> CrateSources {
    let src = format!("{folder}/src/");
    let inside = |source: &Source| {
        let file = source.path.strip_prefix(&src)?;
        Some((file.to_string(), source.text.clone()))
    };
    CrateSources { folder: folder.to_string(), files: sources.iter().filter_map(inside).collect() }
}

/// Calls `see` with each file under `folder`, sorted, without build outputs.
fn walk(root: &Path, folder: &str, see: &mut impl FnMut(&str)) {
    let entries = fs::read_dir(root.join(folder)).unwrap();
    let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
    let mut names: Vec<String> = entries.map(|entry| name(entry.unwrap())).collect();
    names.sort();
    for name in names {
        let path = format!("{folder}/{name}");
        let full = root.join(&path);
        if full.is_dir() && !full.is_symlink() && name != "target" && name != "node_modules" {
            walk(root, &path, see);
        } else if full.is_file() {
            see(&path);
        }
    }
}

/// Fails with the findings, one on each line, if there are any.
#[track_caller]
pub fn assert_none(findings: Vec<String>) {
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}
