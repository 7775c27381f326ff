//! Writes of clients: checked, proposed, and repeated while a transaction across shards is in the
//! way.
//!
//! Promises that only the leader proposes, that an entry is within its limit, and that a component
//! is compiled before it is proposed. Leaves out transactions across shards (`across`).

use std::sync::Arc;

use aspen_core::codec::encode;
use aspen_core::ids::{Caller, RequestId, ShardId};
use aspen_core::limits::{COMPONENT_BYTES_MAX, ENTRY_BYTES_MAX};
use aspen_core::protocol::{Command, ErrorReply, Outcome, Response, Upload};
use aspen_core::refusal::Refusal;
use aspen_net::PeerId;
use bytes::Bytes;
use tokio::time::Instant;

use crate::across::{locked_by, wait_for};
use crate::admission::{Executor, Pass};
use crate::context::{NodeContext, entry, led};
use crate::functions::{check_staged, compile_everywhere};
use crate::limits::LOCKED_WAIT;
use crate::peer::ComponentSource;
use crate::replica::{Replica, ReplicaError};

/// Proposes the command of a client and returns the outcome.
pub async fn write(
    node: &NodeContext,
    from: PeerId,
    shard: ShardId,
    request: Option<RequestId>,
    command: Command,
) -> Result<Response, ErrorReply> {
    // Spares a useless check or compilation; Raft itself decides who may propose.
    let replica = led(node, shard)?;
    if !command.is_for_clients() || (request.is_none() && command != Command::OpenSession) {
        let reason = "a write needs a request id of an open session".into();
        return Err(ErrorReply::Invalid { reason });
    }
    let caller = Caller::new(*from.as_bytes());
    if let Some(refusal) = check_upload(node, &replica, caller, &command).await? {
        return Ok(Response::Outcome(encode(&Outcome::Refused(refusal))));
    }
    let written = entry(node, caller, request, command);
    let entry = encode(&written);
    if entry.len() > ENTRY_BYTES_MAX {
        let reason = format!("entry is {} bytes, limit is {ENTRY_BYTES_MAX}", entry.len());
        return Err(ErrorReply::Invalid { reason });
    }
    let until = Instant::now() + LOCKED_WAIT;
    loop {
        let pass = match &written.command {
            Command::Call(call) => {
                node.admission().admit(caller, Executor::apply(replica.id), call).await?
            }
            _ => None,
        };
        let outcome = match pass {
            None => replica.propose(entry.clone()).await?,
            Some(pass) => propose_inside(&replica, entry.clone(), pass).await?,
        };
        let Some(by) = locked_by(&outcome) else { return Ok(Response::Outcome(outcome)) };
        Box::pin(wait_for(node, &replica, by, until)).await?;
    }
}

/// Checks and compiles an upload on all replicas before it is proposed. Returns a refusal if the
/// parts of an upload are not complete.
async fn check_upload(
    node: &NodeContext,
    replica: &Replica,
    caller: Caller,
    command: &Command,
) -> Result<Option<Refusal>, ErrorReply> {
    match command {
        Command::Upload(Upload { bytes, .. }) => {
            if bytes.len() > COMPONENT_BYTES_MAX {
                let reason = format!("{} bytes need an upload in parts", bytes.len());
                return Err(ErrorReply::Invalid { reason });
            }
            let source = ComponentSource::Bytes(bytes.clone());
            Box::pin(compile_everywhere(node, replica, bytes.clone(), source)).await?;
            Ok(None)
        }
        Command::FinishUpload { component, .. } => {
            let complete = Box::pin(check_staged(node, replica, caller, *component)).await?;
            Ok((!complete).then_some(Refusal::UploadIncomplete))
        }
        _ => Ok(None),
    }
}

/// Proposes a heavy call. The call is over when its outcome is known, even if its client has gone.
async fn propose_inside(
    replica: &Arc<Replica>,
    entry: Bytes,
    pass: Pass,
) -> Result<Bytes, ReplicaError> {
    let replica = replica.clone();
    let proposed = tokio::spawn(async move {
        let outcome = replica.propose(entry).await;
        drop(pass);
        outcome
    });
    // The task ends otherwise only with the runtime.
    proposed.await.unwrap_or(Err(ReplicaError::Unknown))
}
