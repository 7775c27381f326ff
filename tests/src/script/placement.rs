//! The placement map: changes, refusals, and replicas that arrive where they shall be.

use std::collections::BTreeSet;

use aspen_core::ids::{NodeId, ShardId};
use aspen_core::placement::{Placement, PlacementChange};

use crate::script::words::{first_word, number, numbered};
use crate::script::world::World;

const FOUND: &str = "found NODES shards NUMBER factor NUMBER";
const MOVE: &str = "move sN [from nN] to nN";

/// A cluster's map, and the nodes that do not answer.
pub struct Cluster {
    map: Placement,
    down: BTreeSet<NodeId>,
}

impl Cluster {
    /// `found NODES shards NUMBER factor NUMBER`: the nodes are n1, n2, ...
    pub fn found(world: &mut World, words: &str) -> Result<Cluster, Vec<String>> {
        let words: Vec<&str> = words.split_whitespace().collect();
        let [nodes, "shards", shards, "factor", factor] = words[..] else { panic!("{FOUND}") };
        let nodes: u64 = number(nodes, FOUND);
        // The addresses of messages, of these nodes and of those that join later.
        (1..=99).for_each(|node| world.name(&address(node), &format!("address {node}")));
        let nodes = (1..=nodes).map(|node| (NodeId::new(node), address(node)));
        let map = Placement::initial(nodes, number(shards, FOUND), number(factor, FOUND));
        let map = map.map_err(|error| vec![format!("refused: {error}")])?;
        Ok(Cluster { map, down: BTreeSet::new() })
    }

    /// Does `add-node ADDRESS`, `remove-node nN`, `move sN [from nN] to nN` or `rebalance`. An address is a
    /// number, or any text that is none.
    pub fn change(&mut self, word: &str, rest: &str) -> Vec<String> {
        let change = match word {
            "add-node" => {
                let address = rest.parse().map_or_else(|_| rest.to_string(), address);
                PlacementChange::AddNode { address }
            }
            "remove-node" => PlacementChange::RemoveNode { node: node(rest) },
            "move" => move_of(rest),
            _ => PlacementChange::Rebalance,
        };
        let alive = self.map.nodes.keys().copied().filter(|node| !self.down.contains(node));
        let (alive, before) = (alive.collect(), self.map.clone());
        match self.map.change(&change, &alive) {
            Err(error) => {
                assert_eq!(self.map, before, "a refused change changes nothing");
                vec![format!("refused: {error}")]
            }
            Ok(_) if self.map == before => vec!["nothing changes".into()],
            Ok(Some(node)) => vec![format!("node {node}")],
            Ok(None) => vec!["changed".into()],
        }
    }

    /// `down nN`, `up nN`: the node answers no more, or again.
    pub fn answer(&mut self, word: &str, rest: &str) -> Vec<String> {
        match word {
            "down" => self.down.insert(node(rest)),
            _ => self.down.remove(&node(rest)),
        };
        vec![]
    }

    /// `arrive [sN]`: the leader of the shard, or of every shard, has made the replicas what they shall be.
    /// Then nodes that leave and have no replica left go.
    pub fn arrive(&mut self, shard: &str) -> Vec<String> {
        for at in 0..self.map.shards.len() {
            let id = ShardId::new(u16::try_from(at).expect("shards are numbered by u16"));
            if shard.is_empty() || shard == id.to_string() {
                let target = self.map.shards[at].target.iter().copied().collect();
                self.map.arrived(id, &target);
            }
        }
        let gone = if self.map.let_go() { "nodes that left are gone" } else { "arrived" };
        vec![gone.into()]
    }

    /// The replicas of every shard, and the number of replicas of every node.
    pub fn print(&self) -> Vec<String> {
        let list =
            |nodes: &[NodeId]| nodes.iter().map(|node| format!(" {node}")).collect::<String>();
        let of_shard = |(at, shard): (usize, &aspen_core::placement::Replicas)| {
            let goes = format!(", shall be on{}", list(&shard.target));
            let goes = if shard.is_settled() { "" } else { &goes };
            format!("s{at} on{}{goes}", list(&shard.now))
        };
        let mut lines: Vec<String> = self.map.shards.iter().enumerate().map(of_shard).collect();
        let counts = self.map.counts();
        let of_node = |(id, node): (&NodeId, &aspen_core::placement::PlacedNode)| {
            let leaves = if node.leaves { " and leaves" } else { "" };
            format!("{id} has {}{leaves}", counts[id])
        };
        let nodes: Vec<String> = self.map.nodes.iter().map(of_node).collect();
        lines.push(nodes.join(", "));
        lines
    }
}

fn move_of(words: &str) -> PlacementChange {
    let (shard, mut rest) = first_word(words);
    let mut from = None;
    if let Some(behind) = rest.strip_prefix("from ") {
        let (word, behind) = first_word(behind);
        (from, rest) = (Some(node(word)), behind);
    }
    let to = node(rest.strip_prefix("to ").expect(MOVE));
    PlacementChange::Move { shard: ShardId::new(numbered(shard, 's', MOVE)), from, to }
}

fn node(word: &str) -> NodeId {
    NodeId::new(numbered(word, 'n', "a node such as n3"))
}

/// Key and address of a node.
fn address(node: u64) -> String {
    format!("{node:064x}@127.0.0.1:{}", 4000 + node)
}
