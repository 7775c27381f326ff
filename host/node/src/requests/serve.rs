//! One match over the requests of clients.
//!
//! Promises that a node which stops answers nothing but that it stops, and that no client reaches
//! the system group by naming its shard.

use std::sync::Arc;

use aspen_core::codec::{decode, encode};
use aspen_core::ids::ShardId;
use aspen_core::protocol::{Command, ErrorReply, Query, Request, Response, ScanRequest};
use aspen_core::state::Resident;
use aspen_net::PeerId;
use bytes::Bytes;

use crate::across;
use crate::context::{NodeContext, led_and_ready};
use crate::functions;
use crate::placement;
use crate::replica::failed;
use crate::requests::lease::lease;
use crate::requests::query::query;
use crate::requests::read::read;
use crate::requests::status::{cluster, status};
use crate::requests::verify;
use crate::requests::write::write;
use crate::views;

/// Answers one request of `from`.
pub async fn serve(node: &Arc<NodeContext>, from: PeerId, body: Bytes) -> Bytes {
    let result = match decode::<Request>(&body) {
        Ok(request) => answer(node, from, request).await,
        Err(error) => Err(ErrorReply::Malformed { reason: error.to_string() }),
    };
    encode(&result.unwrap_or_else(Response::Error))
}

async fn answer(
    node: &Arc<NodeContext>,
    from: PeerId,
    request: Request,
) -> Result<Response, ErrorReply> {
    if node.is_stopping() {
        return Err(ErrorReply::Unavailable { reason: "the node is stopping".into() });
    }
    if shard_of(&request) == Some(ShardId::SYSTEM) {
        return Err(ErrorReply::NotFound { what: "shard".into() });
    }
    if let Some(shard) = kept_waiting_by_functions(&request) {
        node.admission().note_other(shard);
    }
    // A large future that is rarely needed is boxed: it would be in the future of every request.
    match request {
        Request::Cluster => Ok(Response::Cluster(cluster(node))),
        Request::Status => Ok(Response::Status(status(node))),
        Request::Write { shard, request, command } => {
            write(node, from, shard, request, command).await
        }
        Request::Get { .. } | Request::Scan(_) => read(node, request).await,
        Request::Lease { shard, lease: id } => Box::pin(lease(node, shard, id)).await,
        Request::Components => functions::list(node).await,
        Request::Describe { component } => functions::describe(node, component).await,
        Request::History { name } => functions::history(node, name).await,
        Request::Notes { shard, after, of } => {
            let replica = led_and_ready(node, shard).await?;
            Ok(Response::Notes(replica.reader.notes(after, of.as_ref())))
        }
        Request::Statistics { shard } => {
            let replica = led_and_ready(node, shard).await?;
            Ok(Response::Statistics(replica.reader.statistics()))
        }
        Request::Schedules { shard } => schedules(node, shard).await,
        Request::SwitchProfile { shard, profile } => {
            functions::switch_profile(node, shard, profile).await
        }
        Request::Place(change) => Box::pin(placement::change(node, change)).await,
        Request::Across { shard, request, transact } => {
            Box::pin(across::transact(node, from, shard, request, &transact)).await
        }
        Request::CallAcross { shard, request, call } => {
            Box::pin(across::call(node, from, shard, request, call)).await
        }
        Request::OpenView { shard, range } => Box::pin(views::open(node, shard, range)).await,
        Request::CloseView { view } => {
            views::close_all(node, view);
            Ok(Response::ViewClosed)
        }
        Request::Query(request) => Box::pin(query(node, from, request)).await,
        Request::Verify { shard } => Box::pin(verify::begin(node, from, shard)).await,
        Request::Verified { shard, index } => verify::found(node, shard, index),
    }
}

/// Returns the shard that a request names, if it names one.
fn shard_of(request: &Request) -> Option<ShardId> {
    match request {
        Request::Write { shard, .. } | Request::Get { shard, .. } => Some(*shard),
        Request::Scan(ScanRequest { shard, .. }) | Request::Lease { shard, .. } => Some(*shard),
        Request::Across { shard, .. } | Request::CallAcross { shard, .. } => Some(*shard),
        Request::OpenView { shard, .. } => Some(*shard),
        Request::Query(Query { shard, .. }) => Some(*shard),
        Request::Notes { shard, .. } | Request::Statistics { shard } => Some(*shard),
        Request::Schedules { shard } | Request::SwitchProfile { shard, .. } => Some(*shard),
        Request::Verify { shard } | Request::Verified { shard, .. } => Some(*shard),
        Request::CloseView { .. } => None,
        Request::Cluster | Request::Status | Request::Place(_) => None,
        Request::Components | Request::Describe { .. } | Request::History { .. } => None,
    }
}

/// Returns the shard whose apply a request needs soon; `None` for a request that runs a function,
/// since admission control knows functions by their cost.
fn kept_waiting_by_functions(request: &Request) -> Option<ShardId> {
    match request {
        Request::Write { command: Command::Call(_), .. } => None,
        Request::Write { shard, .. } | Request::Get { shard, .. } => Some(*shard),
        Request::Scan(ScanRequest { shard, .. }) | Request::Across { shard, .. } => Some(*shard),
        _ => None,
    }
}

/// Returns the schedules of a shard.
async fn schedules(node: &NodeContext, shard: ShardId) -> Result<Response, ErrorReply> {
    let replica = led_and_ready(node, shard).await?;
    let all = |resident: &Resident| {
        let all = resident.schedules.iter();
        all.map(|(name, schedule)| (name.clone(), schedule.clone())).collect()
    };
    let found = replica.reader.inspect(move |_, resident, _| Ok(all(resident))).await;
    found.map(Response::Schedules).map_err(failed)
}
