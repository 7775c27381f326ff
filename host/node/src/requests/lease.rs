//! The answer to a question about a lease.
//!
//! Promises a linearizable answer. Leaves out the end of leases (`periodic/ticks.rs`).

use aspen_core::ids::{LeaseId, ShardId, Timestamp};
use aspen_core::protocol::{Consistency, ErrorReply, LeaseInfo, Response};
use aspen_core::state::{Header, Resident};
use aspen_core::view::View;

use crate::context::{NodeContext, find};
use crate::replica::failed;

/// Returns a lease, how long it lasts yet, and its keys.
pub async fn lease(
    node: &NodeContext,
    shard: ShardId,
    lease: LeaseId,
) -> Result<Response, ErrorReply> {
    let replica = find(node, shard)?;
    replica.ready(Consistency::Linearizable).await?;
    let clock = node.clock_ms();
    let inspect = move |_: &dyn View, resident: &Resident, header: Header| {
        let now = header.clock.max(Timestamp::new(clock));
        let info = resident.leases.get(lease).map(|image| LeaseInfo {
            lease,
            ttl_ms: image.ttl_ms,
            left_ms: image.due.since(now),
            keys: resident.leases.keys(lease).cloned().collect(),
        });
        Ok(Response::Lease(info))
    };
    replica.reader.inspect(inspect).await.map_err(failed)
}
