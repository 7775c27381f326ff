//! Data folders of a form that this build does not read: refused, with the form, and left as they are.
//!
//! Promises that each refusal names the file, the form found, the form that this program reads, and the
//! remedy, and that the file stays as it is. Leaves out the log, which only its own crate can write
//! (`store/src/tests/log.rs`), and damaged files (`cluster::storage`).

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::content::SHARDS;
use crate::unpack_newest;

/// The remedy that every refusal names.
const REMEDY: &str = aspen_core::codec::FORM_REMEDY;

/// The words in which a folder is refused for this file, which stays as it is.
async fn refused(path: &Path, file: &Path) -> String {
    let before = std::fs::read(file).unwrap();
    let error = aspen_node::open_sharded(path, SHARDS).await.err().unwrap();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    assert!(before == std::fs::read(file).unwrap(), "it stays as it is: {text}");
    text
}

fn state_file(path: &Path, shard: &str) -> PathBuf {
    let files = std::fs::read_dir(path.join(shard)).unwrap().map(|entry| entry.unwrap().path());
    let is_state = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("state-") && name.ends_with(".db")
    };
    files.into_iter().find(is_state).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_forms_identity_of_another_form_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    unpack_newest(dir.path());
    let path = dir.path().join("node.json");
    let text = std::fs::read_to_string(&path).unwrap();
    // A later build may know no address, and something else instead.
    let text = text.replacen("\"form\": ", "\"form\": 7", 1).replacen("\"address\"", "\"at\"", 1);
    std::fs::write(&path, text).unwrap();
    let refused = refused(dir.path(), &path).await;
    assert!(refused.contains("node.json has form 7"), "{refused}");
    assert!(refused.contains("this program reads form "), "{refused}");
    assert!(refused.contains(REMEDY), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_forms_state_of_another_form_is_refused() {
    for shard in ["shard-1", "system"] {
        let dir = tempfile::tempdir().unwrap();
        unpack_newest(dir.path());
        let path = state_file(dir.path(), shard);
        let db = Connection::open(&path).unwrap();
        // The form, and its complement in the upper half.
        let form = 77;
        db.pragma_update(None, "user_version", form | (!form & 0xffff) << 16).unwrap();
        db.close().unwrap();
        let refused = refused(dir.path(), &path).await;
        assert!(refused.contains(&path.display().to_string()), "{refused}");
        assert!(refused.contains("it has form 77, this program reads form "), "{refused}");
        assert!(refused.contains(REMEDY), "{refused}");
    }
}
