//! `aspen verify` as a user meets it: its output and its exit code.

use std::path::Path;

use serde_json::Value as Json;

use crate::server::{Server, path, run};

/// Removes a key from the file of a stopped node's shard. The row has a checksum; the absence of a row has none.
fn lose(dir: &Path, node: u32, shard: u64, key: &str) {
    let folder = dir.join(format!("node-{node}/shard-{shard}"));
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut states = files.filter(|file| {
        let name = file.file_name().unwrap().to_str().unwrap();
        name.starts_with("state-") && name.ends_with(".db")
    });
    let state = rusqlite::Connection::open(states.next().unwrap()).unwrap();
    assert_eq!(state.execute("DELETE FROM kv WHERE key = ?1", [key.as_bytes()]).unwrap(), 1);
    state.close().unwrap();
}

#[test]
fn process_verify_says_who_differs_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("cluster");
    let server = Server::start(&["dev", path(&dir), "--nodes", "3", "--shards", "2"]);
    for key in ["greeting", "other", "third"] {
        assert_eq!(run(&dir, &["put", key, "hello"]).0, 0);
    }
    let (_, route, _) = run(&dir, &["route", "greeting", "--json"]);
    let shard = serde_json::from_str::<Json>(&route).unwrap()["shard"].as_u64().unwrap();
    let name = format!("s{shard}");
    let (code, text, errors) = run(&dir, &["verify"]);
    assert_eq!((code, &errors[..]), (0, ""));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert_eq!(lines[0], "shard   entry       keys       size  hash              replicas");
    for (line, begins) in lines[1..].iter().zip(["s0 ", "s1 "]) {
        assert!(line.starts_with(begins) && line.ends_with("  n1 n2 n3"), "{line}");
    }
    let (code, text, _) = run(&dir, &["verify", &name, "--json"]);
    let all: Json = serde_json::from_str(&text).unwrap();
    let one = &all[0];
    assert_eq!((code, all.as_array().unwrap().len(), &one["equal"]), (0, 1, &Json::Bool(true)));
    for (at, replica) in one["replicas"].as_array().unwrap().iter().enumerate() {
        assert_eq!(replica["node"], at as u64 + 1);
        assert_eq!(replica["hash"], one["majority"]);
        assert_eq!((&replica["differs"], &replica["error"]), (&Json::Bool(false), &Json::Null));
    }
    let refused = (1, String::new(), "aspen: there is no shard 2: the cluster has 2".to_string());
    assert_eq!(run(&dir, &["verify", "2"]), refused);
    server.interrupt();

    lose(&dir, 2, shard, "greeting");
    let server = Server::start(&["dev", path(&dir)]);
    let (code, text, errors) = run(&dir, &["verify"]);
    assert_eq!(code, 1, "{text}{errors}");
    let of_shard: Vec<&str> = text.lines().filter(|line| line.starts_with(&name)).collect();
    assert_eq!(of_shard.len(), 2, "{text}");
    assert!(of_shard.iter().any(|line| line.ends_with("  n1 n3")), "{text}");
    assert!(of_shard.iter().any(|line| line.ends_with("  n2 DIFFERS")), "{text}");
    assert!(
        errors.starts_with(&format!("aspen: {name} on n2 differs from the majority")),
        "{errors}"
    );
    assert!(errors.contains(&format!("stop n2, remove the folder shard-{shard}")), "{errors}");
    let (code, text, _) = run(&dir, &["verify", &name, "--json"]);
    let all: Json = serde_json::from_str(&text).unwrap();
    let differs = all[0]["replicas"].as_array().unwrap().iter().map(|it| it["differs"] == true);
    assert_eq!((code, differs.collect::<Vec<_>>()), (1, vec![false, true, false]));
    server.interrupt();

    // As advised.
    std::fs::remove_dir_all(dir.join(format!("node-2/shard-{shard}"))).unwrap();
    let server = Server::start(&["dev", path(&dir)]);
    let (code, text, errors) = run(&dir, &["verify"]);
    assert_eq!(code, 0, "{text}{errors}");
    server.interrupt();
}

#[test]
fn process_verify_names_a_node_that_is_down() {
    let folder = tempfile::tempdir().unwrap();
    let dirs = [1, 2, 3].map(|n| folder.path().join(format!("n{n}")));
    let [first, second, third] = &dirs;
    let _first = Server::start(&["node", "--data", path(first), "--init", "--shards", "1"]);
    let _second = Server::start(&["node", "--data", path(second), "--join", path(first)]);
    let down = Server::start(&["node", "--data", path(third), "--join", path(first)]);
    assert_eq!(run(first, &["put", "greeting", "hello"]).0, 0);
    assert_eq!(run(first, &["cluster", "rebalance"]).0, 0, "every replica has arrived");
    let (code, text, errors) = run(first, &["verify"]);
    assert!(code == 0 && text.ends_with("  n1 n2 n3"), "{text}{errors}");
    down.interrupt();
    let (code, text, errors) = run(first, &["--timeout", "20", "verify"]);
    assert!(code == 3 && text.ends_with("  n1 n2"), "{text}{errors}");
    assert!(
        errors.starts_with("aspen: s0 on n3 is not verified: it does not answer: "),
        "{errors}"
    );
}
