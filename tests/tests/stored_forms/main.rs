//! Stored forms: this build opens the data folders that earlier builds wrote.
//!
//! `tests/golden/folder-N` holds three small data folders of each set of forms, packed, and beside each a
//! text that says what the folder holds. Promises that every one of them opens, that everything in the
//! text is found, and that the store goes on from there: leases, sessions, uploads, schedules, calls. A
//! folder of a form that this build does not read is refused, with the form and the remedy (`refusals`).
//!
//! A release that changes a stored form keeps the folders of the forms before, counts [`FORMS`] up and
//! makes a new set:
//!
//! ```text
//! UPDATE_FOLDERS=1 cargo nextest run --workspace -E 'binary(stored_forms) & test(golden)'
//! ```
//!
//! Start reading at `content.rs`; `maker.rs` says how the three folders differ.

#![cfg(not(madsim))]

mod content;
mod maker;
mod names;
mod onward;
mod pack;
mod reading;
mod refusals;
mod store;

use std::path::{Path, PathBuf};

use maker::Kind;

/// The set of forms that this build writes: the folder that `UPDATE_FOLDERS` makes anew.
const FORMS: u32 = 1;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// The folders of all sets of forms.
fn sets() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(golden()).unwrap().map(|entry| entry.unwrap().path());
    let is_set =
        |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("folder-");
    let mut sets: Vec<PathBuf> = entries.filter(is_set).collect();
    sets.sort();
    sets
}

/// A golden folder unpacked into `to`, and the text of what it holds.
fn unpack(set: &Path, kind: Kind, to: &Path) -> String {
    let file = |extension: &str| set.join(kind.name()).with_extension(extension);
    pack::unpack(&std::fs::read(file("pack")).unwrap(), to);
    std::fs::read_to_string(file("txt")).unwrap()
}

/// The newest golden folder of a clean stop, unpacked into `to`.
fn unpack_newest(to: &Path) {
    unpack(&golden().join(format!("folder-{FORMS}")), Kind::Stopped, to);
}

/// Says where two texts part.
fn assert_same(what: &str, wanted: &str, found: &str) {
    for (at, (wanted, found)) in wanted.lines().zip(found.lines()).enumerate() {
        assert_eq!(wanted, found, "{what}, line {}", at + 1);
    }
    assert_eq!(wanted.lines().count(), found.lines().count(), "{what}: lines\n{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_forms_golden_folders_open_and_go_on() {
    if std::env::var_os("UPDATE_FOLDERS").is_some() {
        maker::make(&golden().join(format!("folder-{FORMS}"))).await;
    }
    let sets = sets();
    assert!(sets.len() >= FORMS as usize, "the folders are found");
    for set in sets {
        for kind in Kind::ALL {
            let dir = tempfile::tempdir().unwrap();
            let wanted = unpack(&set, kind, dir.path());
            let what = format!("{}, {}", set.display(), kind.name());
            let opened = store::Store::open(dir.path(), content::BEFORE, store::NO_SNAPSHOTS).await;
            let found = reading::text(&opened, kind).await;
            assert_same(&what, &wanted, &found);
            onward::goes_on(opened, dir.path(), kind).await;
        }
    }
}
