//! `aspen cluster`: nodes that come and go, replicas that move.

use std::path::Path;

use serde_json::Value as Json;

use crate::server::{Server, path, run};

/// Returns the output of a command, which must succeed.
fn json(dir: &Path, args: &[&str]) -> Json {
    let (code, output, errors) = run(dir, &[args, &["--json"]].concat());
    assert_eq!(code, 0, "{args:?}: {errors}");
    serde_json::from_str(&output).unwrap()
}

/// The numbers of the nodes, in the output of `aspen cluster status` for a shard.
fn nodes(replicas: &Json) -> Vec<u64> {
    replicas.as_array().unwrap().iter().map(|node| node.as_u64().unwrap()).collect()
}

#[test]
fn process_placement_is_changed_by_command() {
    let folder = tempfile::tempdir().unwrap();
    let dirs = [1, 2, 3, 4].map(|n| folder.path().join(format!("n{n}")));
    let first = &dirs[0];
    let init = ["node", "--data", path(first), "--init", "--shards", "4"];
    let mut servers = vec![Server::start(&init)];
    for dir in &dirs[1..] {
        servers.push(Server::start(&["node", "--data", path(dir), "--join", path(first)]));
    }
    assert_eq!(run(first, &["put", "greeting", "hello"]).0, 0);

    // Four shards with three replicas each: three for each of four nodes.
    let (code, output, errors) = run(first, &["cluster", "rebalance"]);
    assert_eq!(code, 0, "{errors}");
    let rows: Vec<Vec<&str>> =
        output.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    let rows: Vec<&[&str]> = rows.iter().map(|row| &row[..3]).collect();
    let even = [["n1", "3", "in"], ["n2", "3", "in"], ["n3", "3", "in"], ["n4", "3", "in"]];
    assert_eq!(rows, even, "{output}");

    // One replica moves from where it is to the node that has none of its shard.
    let status = json(first, &["cluster", "status"]);
    assert_eq!((&status["factor"], &status["settled"]), (&Json::from(3), &Json::from(true)));
    let before = nodes(&status["shards"][0]["replicas"]);
    let to = (1..=4).find(|node| !before.contains(node)).unwrap();
    let (from, to_text) = (before[0].to_string(), to.to_string());
    let moved = ["cluster", "move", "0", "--from", &from, "--to", &to_text];
    let (code, output, errors) = run(first, &moved);
    let mut after: Vec<u64> = before[1..].iter().copied().chain([to]).collect();
    after.sort();
    let names: Vec<String> = after.iter().map(|node| format!("n{node}")).collect();
    assert_eq!((code, output), (0, format!("s0    {}", names.join(" "))), "{errors}");
    let status = json(first, &["cluster", "status"]);
    assert_eq!(nodes(&status["shards"][0]["replicas"]), after);

    // A node goes; asking twice is asking once.
    assert_eq!(
        run(first, &["cluster", "remove-node", "4", "--no-wait"]),
        (0, "node n4 is on its way out".into(), String::new())
    );
    let (code, output, errors) = run(first, &["cluster", "remove-node", "4"]);
    let gone = "node n4 is no longer a member; its process can be stopped";
    // The first may have been quick.
    let is_known =
        (code, &output[..]) == (0, gone) || (code, &errors[..]) == (1, "aspen: not found: node n4");
    assert!(is_known, "{code} {output} {errors}");
    let members = json(first, &["cluster", "members"]);
    let members = members["members"].as_array().unwrap();
    let members: Vec<(u64, &str)> = members
        .iter()
        .map(|it| (it["node"].as_u64().unwrap(), it["state"].as_str().unwrap()))
        .collect();
    assert_eq!(members, [(1, "in"), (2, "in"), (3, "in")]);
    assert_eq!(run(first, &["get", "greeting"]).1, "hello");
    let leaver = servers.pop().unwrap();
    leaver.says("node n4 is no longer a member of its cluster; it can be stopped");
    leaver.interrupt();
}

#[test]
fn process_placement_that_cannot_be_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("n1");
    let init = ["node", "--data", path(&dir), "--init", "--shards", "4"];
    let _server = Server::start(&init);
    let refused = |args: &[&str], code: i32, why: &str| {
        let (ended, output, errors) = run(&dir, &[&["cluster"], args].concat());
        assert_eq!((ended, &output[..], &errors[..]), (code, "", why), "{args:?}");
    };
    refused(&["remove-node", "9"], 1, "aspen: not found: node n9");
    refused(&["move", "9", "--to", "1"], 1, "aspen: not found: shard s9");
    refused(&["move", "0", "--to", "9"], 1, "aspen: not found: node n9");
    refused(
        &["remove-node", "1"],
        1,
        "aspen: n1 is the only node; removing it would end the cluster",
    );
    let (code, _, errors) = run(&dir, &["cluster", "add-node", "there"]);
    assert!(code == 2 && errors.contains("is no node address (hex@ip:port)"), "{code} {errors}");
}
