//! Profiles: the settings with which functions run. They decide outcomes, as code and input do.

use aspen_core::ids::{NodeId, ProfileId};
use aspen_core::protocol::{NodeStatus, Request, Response};

use crate::client::Client;
use crate::error::*;

/// The profiles of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profiles {
    /// The profiles of the shards, as their leaders say; several while a switch is under way.
    pub present: Vec<ProfileId>,
    /// The newest profile that every node that answers can run.
    pub newest: Option<ProfileId>,
    /// The profiles that each node can run.
    pub of_nodes: Vec<(NodeId, Vec<ProfileId>)>,
}

impl Profiles {
    /// Collects the profiles from the nodes' own status.
    pub fn of(nodes: &[&NodeStatus]) -> Self {
        let led = |node: &&NodeStatus| {
            let leads = node.shards.iter().filter(|shard| shard.leader == Some(node.node));
            leads.map(|shard| shard.profile).collect::<Vec<_>>()
        };
        let mut present: Vec<ProfileId> = nodes.iter().flat_map(led).collect();
        present.sort();
        present.dedup();
        let all = nodes.iter().flat_map(|node| node.profiles.iter().copied());
        let newest = all.filter(|one| nodes.iter().all(|node| node.profiles.contains(one))).max();
        let of_nodes = nodes.iter().map(|node| (node.node, node.profiles.clone())).collect();
        Self { present, newest, of_nodes }
    }
}

impl Client {
    /// Returns the profiles that functions run with and could run with, as far as nodes answer.
    pub async fn profiles(&self) -> Profiles {
        let nodes = self.status().await;
        let nodes: Vec<_> = nodes.iter().filter_map(|(_, status)| status.as_ref().ok()).collect();
        Profiles::of(&nodes)
    }

    /// Lets functions run with another profile, shard by shard. A shard refuses if a node with a replica
    /// does not say that it can run the profile. Shards that were switched before stay switched; the same
    /// request again switches the rest. From then on no node can go back to a program that does not know
    /// the profile.
    pub async fn switch_profile(&self, profile: ProfileId) -> Result<(), RequestError> {
        let switched = self.on_each_shard(|shard| async move {
            match self.ask(shard, &Request::SwitchProfile { shard, profile }).await? {
                Response::ProfileSwitched => Ok(()),
                _ => ProtocolSnafu.fail(),
            }
        });
        switched.await.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u64, profiles: &[u32]) -> NodeStatus {
        let profiles = profiles.iter().copied().map(ProfileId::new).collect();
        NodeStatus { node: NodeId::new(id), shards: vec![], profiles }
    }

    #[test]
    fn newest_profile_is_one_that_all_nodes_know() {
        let newest = |nodes: &[NodeStatus]| {
            Profiles::of(&nodes.iter().collect::<Vec<_>>()).newest.map(ProfileId::get)
        };
        assert_eq!(newest(&[node(1, &[2, 3]), node(2, &[2, 3, 4])]), Some(3));
        assert_eq!(newest(&[node(1, &[2]), node(2, &[2, 3])]), Some(2));
        assert_eq!(newest(&[node(1, &[2]), node(2, &[3])]), None);
        assert_eq!(newest(&[]), None);
    }
}
