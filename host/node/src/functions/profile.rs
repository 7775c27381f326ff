//! Letting a shard's functions run with another profile: when a new version of Aspen prices or
//! limits functions differently.
//!
//! Promises that the entry which switches is proposed only after every member of the shard's group
//! said that its program knows the profile. A node that cannot follow, for its program was replaced
//! by an older one or the node came later, stops applying there and says so (`core/apply`). Leaves
//! out when to switch: the operator decides that, and may want to go back to the older program
//! until then.

use aspen_core::codec::decode;
use aspen_core::ids::{Caller, NodeId, ProfileId, ShardId};
use aspen_core::protocol::{Command, ErrorReply, Outcome, Response};
use futures::future::join_all;

use crate::context::{NodeContext, encoded_entry, led_and_ready};

/// Switches `shard` to `profile`, as its leader.
pub async fn switch_profile(
    node: &NodeContext,
    shard: ShardId,
    profile: ProfileId,
) -> Result<Response, ErrorReply> {
    let home = led_and_ready(node, shard).await?;
    if home.reader.status().header.profile == profile {
        return Ok(Response::ProfileSwitched);
    }
    let known = async |(member, (address, _)): (NodeId, (String, bool))| {
        let profiles = match member == node.id() {
            true => Some(node.functions().profiles()),
            false => home.net.peer(&address).profiles().await,
        };
        (member, profiles)
    };
    for (member, profiles) in join_all(home.members().into_iter().map(known)).await {
        let Some(profiles) = profiles else {
            let reason = format!("{member} does not say whether it can run {profile}");
            return Err(ErrorReply::Unavailable { reason });
        };
        if !profiles.contains(&profile) {
            let reason = format!("{member} cannot run {profile}: install a newer version there");
            return Err(ErrorReply::Invalid { reason });
        }
    }
    let switch = encoded_entry(node, Caller::LOCAL, None, Command::SwitchProfile(profile));
    let outcome = home.propose(switch).await?;
    match decode(&outcome) {
        Ok(Outcome::ProfileSwitched { .. }) => Ok(Response::ProfileSwitched),
        _ => Err(ErrorReply::OutcomeUnknown),
    }
}
