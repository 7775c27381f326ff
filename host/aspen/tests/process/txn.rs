//! Transactions, leases, times to live and scan tokens on the command line.

use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use crate::server::{Server, aspen, path, run, told};

/// A cluster of one node with one shard in a folder of its own; gone with it.
struct Node {
    dir: PathBuf,
    _server: Server,
    _folder: tempfile::TempDir,
}

impl Node {
    fn start() -> Node {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("node");
        let server = Server::start(&["node", "--init", "--shards", "1", "--data", path(&dir)]);
        Node { dir, _server: server, _folder: folder }
    }

    /// Exit code, output, errors.
    fn run(&self, args: &[&str]) -> (i32, String, String) {
        run(&self.dir, args)
    }

    /// Returns the output of a command, which must succeed without error output.
    fn ok(&self, args: &[&str]) -> String {
        let (code, output, errors) = self.run(args);
        assert_eq!((code, &errors[..]), (0, ""), "{args:?}");
        output
    }
}

#[test]
fn process_txn_commits_or_names_every_key_in_the_way() {
    let node = Node::start();
    node.ok(&["put", "a", "1"]);
    let done = node.ok(&["txn", "read a version 1", "read b absent", "set b 'x'", "get b"]);
    let want =
        "set b: version 1\nget b = \"'x'\" version 1 create 2 mod 2\ncommitted at revision 2";
    assert_eq!(done, want);
    let (code, output, errors) = node.run(&["txn", "read a mod 7", "read b absent", "set c 1"]);
    let want = "aspen: conflict at revision 2\n\
                key a: expected mod revision 7, is version 1 of mod revision 1, value \"1\"\n\
                key b: expected absent, is version 1 of mod revision 2, value \"'x'\"";
    assert_eq!((code, &output[..], &errors[..]), (1, "", want));
    assert_eq!(node.run(&["get", "c"]).0, 1);
    let done = node.ok(&["txn", "if a value = 2", "else", "get a"]);
    assert!(done.ends_with("else: committed at revision 2"), "{done}");

    let (code, output, errors) = node.run(&["txn", "--json", "read a mod 7"]);
    let record =
        r#"{"create_revision":1,"key":"a","lease":0,"mod_revision":1,"value":"1","version":1}"#;
    let want = format!(
        r#"{{"committed":false,"conflicts":[{{"expected":"mod revision 7","key":"a","mod_revision":1,"record":{record},"version":1}}],"revision":2}}"#
    );
    assert_eq!((code, output, &errors[..]), (1, want, "aspen: conflict at revision 2"));
    let done = node.ok(&["txn", "--json", "get a", "delete gone"]);
    let results = format!(
        r#""results":[{{"key":"a","operation":"get","record":{record}}},{{"key":"gone","operation":"delete","version":0}}],"revision":2,"succeeded":true"#
    );
    assert!(done.starts_with(r#"{"committed":true,"#) && done.contains(&results), "{done}");
}

#[test]
fn process_txn_reads_files_and_standard_input() {
    let node = Node::start();
    let file = node.dir.join("statements");
    std::fs::write(&file, "# two keys\nset a 1\n\nset \"b c\" \"\\x00\"\n").unwrap();
    let file = file.to_str().unwrap();
    let want = "set a: version 1\nset \"b c\": version 1\ncommitted at revision 1";
    assert_eq!(node.ok(&["txn", "--file", file]), want);

    let mut command = aspen(&node.dir);
    command.arg("txn").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"get a\nput b 1\n").unwrap();
    let (code, _, errors) = told(child.wait_with_output().unwrap());
    assert_eq!(code, 2);
    assert!(errors.starts_with("aspen: line 2: expected read, unchanged, if,"), "{errors}");
    assert_eq!(node.run(&["txn", "#"]), (2, String::new(), "aspen: the request is empty".into()));
    assert_eq!(node.run(&["txn", "get a", "--file", file]).0, 2);
    let refused = "aspen: time to live is 0 ms, allowed are 1 to 315360000000".to_string();
    assert_eq!(node.run(&["txn", "grant ttl 0s"]), (1, String::new(), refused));
}

#[test]
fn process_lease_holds_keys_until_it_is_over() {
    let node = Node::start();
    assert_eq!(node.ok(&["lease", "grant", "1h", "--key", "lock/a"]), "lease 1");
    node.ok(&["put", "lock/a", "me", "--lease", "1"]);
    assert!(node.ok(&["get", "lock/a", "--json"]).contains("\"lease\":1,"));
    assert!(node.ok(&["lease", "keepalive", "1"]).starts_with("lease 1 is due at "));
    let shown = node.ok(&["lease", "show", "1"]);
    assert!(shown.ends_with(" of 1h left, 1 keys\nlock/a"), "{shown}");
    let shown = node.ok(&["lease", "show", "1", "--json", "--key", "lock/b"]);
    assert!(shown.starts_with(r#"{"keys":["lock/a"],"lease":1,"left_ms":"#), "{shown}");
    assert_eq!(node.ok(&["lease", "revoke", "1"]), "lease 1 is over, removed 1 keys");
    assert_eq!(node.run(&["get", "lock/a"]).0, 1);
    let (code, _, errors) = node.run(&["lease", "show", "1"]);
    assert_eq!((code, &errors[..]), (1, "aspen: lease 1: not found"));
    let (code, _, errors) = node.run(&["put", "b", "1", "--lease", "1"]);
    assert_eq!((code, &errors[..]), (1, "aspen: lease l1 is unknown or over"));
    assert_eq!(node.run(&["put", "b", "1", "--lease", "1", "--ttl", "1s"]).0, 2);
}

#[test]
fn process_key_with_a_time_to_live_goes_by_itself() {
    let node = Node::start();
    node.ok(&["put", "short", "x", "--ttl", "1ms"]);
    node.ok(&["put", "long", "x", "--ttl", "1h"]);
    // The leader ends it on its own: asked until it is gone.
    let began = std::time::Instant::now();
    while node.run(&["get", "short"]).0 == 0 {
        assert!(began.elapsed().as_secs() < 30, "the key stays");
    }
    assert_eq!(node.ok(&["get", "long"]), "x");
    let (code, _, errors) = node.run(&["put", "a", "x", "--ttl", "soon"]);
    assert_eq!(code, 2);
    assert!(errors.contains("expected a time such as 500ms, 30s, 5m, 2h or 1d"), "{errors}");
}

#[test]
fn process_scan_goes_on_with_its_token() {
    let node = Node::start();
    node.ok(&["txn", "set k1 1", "set k2 2", "set k3 3", "set other 4"]);
    let (code, output, note) = node.run(&["scan", "k", "--limit", "2", "--keys-only"]);
    assert_eq!((code, &output[..]), (0, "k1\nk2"));
    let token = note.strip_prefix("(the first 2; --limit 0 shows all, --token goes on: ");
    let token = token.and_then(|token| token.strip_suffix(')')).expect(&note);
    assert_eq!(node.ok(&["scan", "--token", token]), "k3\t3");

    let page = node.ok(&["scan", "k", "--limit", "1", "--json", "--reverse", "--stale", "1h"]);
    let (item, last) = page.split_once('\n').unwrap();
    assert!(item.contains("\"key\":\"k3\""), "{item}");
    let token = last.strip_prefix("{\"next\":\"").and_then(|last| last.strip_suffix("\"}"));
    assert_eq!(node.ok(&["scan", "--keys-only", "--token", token.unwrap()]), "k2\nk1");

    let damaged = (2, String::new(), "aspen: the scan token is damaged".to_string());
    assert_eq!(node.run(&["scan", "--token", &format!("{}0", token.unwrap())]), damaged);
    assert_eq!(node.run(&["scan", "k", "--token", token.unwrap()]).0, 2);
    assert_eq!(node.ok(&["get", "k1", "--stale", "1h"]), "1");
    // A scan through all pages ends without a word of more.
    assert_eq!(node.ok(&["scan", "k", "--limit", "3", "--keys-only"]), "k1\nk2\nk3");
}
