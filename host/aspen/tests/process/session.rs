//! The session of the README, bad input, a new function, killed processes, a full disk.

use std::path::Path;
use std::process::Command;

use aspen_tests::small_disk::SmallDisk;

use crate::server::{ASPEN, Server, aspen, path};

/// Returns exit code and output: the error output if there is any.
fn run(dir: &Path, args: &[&str]) -> (i32, String) {
    let (code, output, errors) = crate::server::run(dir, args);
    (code, if errors.is_empty() { output } else { errors })
}

fn ok(text: &str) -> (i32, String) {
    (0, text.to_string())
}

#[test]
fn process_session_of_the_readme_works() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("cluster");
    let server = Server::start(&["dev", path(&dir), "--nodes", "3"]);
    assert_eq!(run(&dir, &["put", "greeting", "hello"]), ok("version 1 at revision 1"));
    assert_eq!(run(&dir, &["get", "greeting"]), ok("hello"));
    let json = r#"{"create_revision":1,"key":"greeting","lease":0,"mod_revision":1,"value":"hello","version":1}"#;
    assert_eq!(run(&dir, &["get", "greeting", "--json"]), ok(json));
    assert_eq!(run(&dir, &["get", "nothing"]), (1, "aspen: nothing: not found".into()));
    assert_eq!(run(&dir, &["delete", "nothing"]).0, 1);
    assert_eq!(run(&dir, &["put", "other", "x"]).0, 0);
    assert_eq!(run(&dir, &["scan"]), ok("greeting\thello\nother\tx"));
    assert_eq!(run(&dir, &["scan", "gr", "--keys-only"]), ok("greeting"));
    // Each shard counts its own revisions: these keys live on two of the eight.
    assert_eq!(run(&dir, &["delete", "other"]), ok("deleted version 1 at revision 2"));
    assert_eq!(run(&dir, &["functions"]), ok(""));
    assert_eq!(
        run(&dir, &["call", "none", "f", "--key", "k"]),
        (1, "aspen: not found: component none".into())
    );
    assert_eq!(run(&dir, &["put"]).0, 2);
    assert_eq!(run(&dir, &["put", &"k".repeat(2000), "v"]).0, 2);
    let (code, status) = run(&dir, &["status", "--json"]);
    assert_eq!((code, status.matches("\"digest\"").count()), (0, 3 * 8), "eight shards each");
    server.interrupt();
    let (code, message) = run(&dir, &["--timeout", "1", "get", "greeting"]);
    assert_eq!(code, 3, "{message}");
    let nowhere = folder.path().join("nowhere");
    assert_eq!(run(&nowhere, &["get", "greeting"]).0, 3);
    let server = Server::start(&["dev", path(&dir)]);
    assert_eq!(run(&dir, &["get", "greeting"]), ok("hello"));
    server.interrupt();
}

#[test]
fn process_route_names_tag_hash_shard_and_leader() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("node");
    let server = Server::start(&["node", "--data", path(&dir), "--init"]);
    // A put waits for the leader that is then shown.
    assert_eq!(run(&dir, &["put", "{07592}/total", "1"]).0, 0);
    let (code, text) = run(&dir, &["route", "{07592}/total"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((code, lines.len()), (0, 4), "{text}");
    assert_eq!(lines[..3], ["tag     07592", "hash    313a1bd7a5175356", "shard   s5 of 8"]);
    let address = lines[3].strip_prefix("leader  n1 at ").unwrap();
    let json = format!(
        r#"{{"address":"{address}","hash":"313a1bd7a5175356","key":"{{07592}}/total","leader":1,"shard":5,"shards":8,"tag":"07592"}}"#
    );
    assert_eq!(run(&dir, &["route", "{07592}/total", "--json"]), ok(&json));
    assert!(address.contains("@127.0.0.1:"), "{address}");
    assert_eq!(run(&dir, &["route", ""]).0, 2, "no key is empty");
    server.interrupt();
}

#[test]
fn process_number_of_shards_is_bounded_and_fixed() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("node");
    let node = |args: &[&str]| {
        let started = Server::try_start(&[&["node", "--data", path(&dir)], args].concat());
        started.map(Server::kill).err().unwrap_or_default()
    };
    let check = |args: &[&str], want: &str| {
        let refused = node(args);
        assert!(refused.contains(want), "{args:?}: {refused:?}");
    };
    check(&["--init", "--shards", "0"], "a cluster has 1 to 256 shards, not 0");
    check(&["--init", "--shards", "257"], "a cluster has 1 to 256 shards, not 257");
    assert_eq!(node(&["--init", "--shards", "3"]), "");
    check(&["--shards", "8"], "was made with 3 shards, not 8");
    check(&["--join", "aspen1xyz", "--shards", "3"], "cannot be used with");
    assert_eq!(node(&["--shards", "3"]), "");
    assert_eq!(node(&[]), "");
}

#[test]
fn process_killed_under_load_loses_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("node");
    let mut server = Server::start(&["node", "--data", path(&dir), "--init"]);
    let mut acknowledged = 0u64;
    for round in 0..6 {
        let (writer_dir, start) = (dir.clone(), acknowledged);
        let writer = std::thread::spawn(move || {
            let mut done = start;
            // Ends when the node is gone: then an attempt is given up after a second.
            for n in start + 1.. {
                let args = ["--timeout", "1", "put", "counter", &n.to_string()];
                if aspen(&writer_dir).args(args).output().unwrap().status.code() != Some(0) {
                    break;
                }
                done = n;
            }
            done
        });
        std::thread::sleep(std::time::Duration::from_millis(300 + 130 * round));
        server.kill();
        acknowledged = writer.join().unwrap();
        server = Server::start(&["node", "--data", path(&dir)]);
        let value: u64 = run(&dir, &["get", "counter"]).1.parse().unwrap();
        // The last put may have been applied without its answer getting through.
        assert!(value == acknowledged || value == acknowledged + 1, "{value}, {acknowledged}");
        acknowledged = value;
    }
    server.interrupt();
}

#[test]
fn process_folder_in_use_and_folder_without_a_node_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("node");
    let _server = Server::start(&["node", "--data", path(&dir), "--init"]);
    let second = Server::try_start(&["node", "--data", path(&dir)]).err().unwrap();
    assert!(second.contains("is in use by another process"), "{second}");
    let empty = folder.path().join("empty");
    let none = Server::try_start(&["node", "--data", path(&empty)]).err().unwrap();
    assert!(none.contains("holds no Aspen node; create one with"), "{none}");
    let bad = Server::try_start(&["node", "--data", path(&empty), "--join", "aspen1xyz"]);
    assert!(bad.err().unwrap().contains("bad ticket"));
}

#[test]
fn process_new_function_tests_builds_and_runs() {
    let folder = tempfile::tempdir().unwrap();
    let new = |name: &str| {
        Command::new(ASPEN).args(["new", name]).current_dir(folder.path()).output().unwrap()
    };
    assert!(new("counter").status.success());
    assert_eq!(new("counter").status.code(), Some(1), "it exists already");
    assert_eq!(new("Bad Name").status.code(), Some(2));
    let source = folder.path().join("counter");
    let tested = clean_cargo().arg("test").current_dir(&source).output().unwrap();
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stderr));
    let mut build = Command::new(ASPEN);
    let built = build.args(["build", "counter"]).current_dir(folder.path()).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));

    let dir = folder.path().join("node");
    let server = Server::start(&["node", "--data", path(&dir), "--init"]);
    let component = source.join("counter.wasm");
    assert_eq!(run(&dir, &["upload", path(&component), "--name", "counter"]).0, 0);
    let (_, described) = run(&dir, &["describe", "counter"]);
    assert!(described.ends_with("add: func(name: string, amount: u64) -> result<u64, string>"));
    let method = "pub fn add(&self, name: &str, amount: u64) -> typed::Call<u64, String> {";
    for made_from in
        [&[path(&source.join("wit"))][..], &[path(&component)], &["--uploaded", "counter"]]
    {
        let (code, module) = run(&dir, &[&["client-gen"], made_from].concat());
        assert!(code == 0 && module.contains(method), "{module}");
        let out = folder.path().join("client.rs");
        let to_file = [&["client-gen", "--out", path(&out)], made_from].concat();
        assert_eq!(run(&dir, &to_file), ok(""));
        assert_eq!(std::fs::read_to_string(&out).unwrap().trim_end(), module);
    }
    assert_eq!(run(&dir, &["client-gen"]).0, 2, "made from what?");
    assert_eq!(run(&dir, &["client-gen", "--uploaded", "nothing"]).0, 1);
    let add =
        |amount: &str| run(&dir, &["call", "counter", "add", "hits", amount, "--key", "hits"]);
    assert_eq!(add("2"), ok("2"));
    assert_eq!(add("3"), ok("5"));
    assert_eq!(add("18446744073709551615").1, "aspen: the function returned an error: overflow");
    assert_eq!(add("many").0, 2);
    server.interrupt();
}

/// Cargo without the settings that an outer cargo gives its tests.
fn clean_cargo() -> Command {
    let mut cargo = Command::new("cargo");
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO") && text != "CARGO_HOME" || text == "RUSTFLAGS" {
            cargo.env_remove(&name);
        }
    }
    cargo
}

#[test]
fn process_full_disk_loses_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(folder.path(), 48).unwrap();
    let filler = disk.path().join("filler");
    std::fs::write(&filler, vec![0; 16 << 20]).unwrap();
    let dir = disk.path().join("node");
    let server = Server::start(&["node", "--data", path(&dir), "--init"]);
    let value = "v".repeat(100_000);
    let mut acknowledged = vec![];
    let failed = loop {
        let key = format!("k{:04}", acknowledged.len());
        let (code, message) = run(&dir, &["--timeout", "3", "put", &key, &value]);
        if code != 0 {
            break message;
        }
        acknowledged.push(key);
        assert!(acknowledged.len() < 2000, "the disk never fills");
    };
    assert!(!failed.is_empty());
    server.kill();
    std::fs::remove_file(&filler).unwrap();
    let server = Server::start(&["node", "--data", path(&dir)]);
    for key in &acknowledged {
        assert_eq!(run(&dir, &["get", key]).1.len(), value.len(), "{key}");
    }
    assert_eq!(run(&dir, &["put", "after", "1"]).0, 0);
    server.interrupt();
}
