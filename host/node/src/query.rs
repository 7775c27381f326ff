//! Queries and dry runs: functions on the state as it is, without the log.
//!
//! Promises a view of one moment, as fresh as asked, that shows what transactions across shards did
//! whole or not at all: where one is under way in what the function looks at, it waits. A replica that
//! is no leader answers those that may be stale. Leaves out ranges and keys of other shards.

use aspen_core::{
    Call, Caller, Context, Fault, Header, Locks, ProfileId, Queried, Query, Refused, Response,
    Timestamp, View,
};
use aspen_net::PeerId;
use tokio::time::Instant;

use crate::beside::on_a_stack;
use crate::limits::LOCKED_WAIT;
use crate::node::ShardedRaftNode;
use crate::requests::{failed, find, refused, wait_for};

/// Answers a query.
pub async fn query(
    node: &ShardedRaftNode,
    from: PeerId,
    query: Query,
) -> Result<Response, Refused> {
    let Query { shard, call, consistency, dry_run } = query;
    if !call.reads.is_empty() {
        return Err(Refused::Invalid { reason: "a query depends on no reads".into() });
    }
    let home = find(node, shard)?;
    home.ready(consistency).await.map_err(refused)?;
    let run = Run {
        functions: node.functions().clone(),
        context: Context {
            shard,
            router: node.router(),
            time: Timestamp::new(node.clock_ms()),
            seed: rand::random(),
            caller: Caller::new(*from.as_bytes()),
            profile: ProfileId::FIRST,
        },
        call,
    };
    let until = Instant::now() + LOCKED_WAIT;
    let queried = loop {
        let (reader, here) = (home.reader.clone(), run.clone());
        let none = Locks::default();
        let free = move || {
            let queried = reader.read(|view, header| match header.prepared {
                0 => here.on(view, &none, header).map(Some),
                _ => Ok(None),
            });
            let fuel = queried.as_ref().ok().and_then(|queried| queried.as_ref()?.outcome.fuel());
            (queried, fuel)
        };
        let (caller, call) = (run.context.caller, &run.call);
        let queried = match on_a_stack(node, caller, shard, call, free).await?.map_err(failed)? {
            Some(queried) => queried,
            // What is locked stands beside the view, in memory: taken at one moment with it.
            None => {
                let (sender, locks) = std::sync::mpsc::channel();
                let look = move |resident: &aspen_core::Resident| {
                    // It is received below.
                    let _ = sender.send(resident.locks.clone());
                    None::<()>
                };
                let Ok((view, gate)) = home.reader.pin(look).await.map_err(failed)? else {
                    continue;
                };
                drop(gate);
                let (locks, here) = (locks.try_recv().unwrap_or_default(), run.clone());
                let pinned = move || {
                    let queried = view.read(|view, header| here.on(view, &locks, header));
                    let fuel = queried.as_ref().ok().and_then(|queried| queried.outcome.fuel());
                    (queried, fuel)
                };
                on_a_stack(node, caller, shard, call, pinned).await?.map_err(failed)?
            }
        };
        match queried.locked_by() {
            Some(by) => wait_for(node, &home, by, until).await?,
            None => break queried,
        }
    };
    answer(queried, dry_run)
}

/// What is the same in every attempt: all but time and profile, which are those of the view.
#[derive(Clone)]
struct Run {
    functions: std::sync::Arc<aspen_functions::WasmFunctions>,
    context: Context,
    call: Call,
}

impl Run {
    fn on(&self, view: &dyn View, locks: &Locks, header: Header) -> Result<Queried, Fault> {
        let time = header.clock.max(self.context.time);
        let context = Context { time, profile: header.profile, ..self.context };
        aspen_core::query(view, locks, &header, &*self.functions, &context, &self.call)
    }
}

fn answer(mut queried: Queried, dry_run: bool) -> Result<Response, Refused> {
    let did = queried.dry_run.take_if(|_| !dry_run);
    if let Some(write) = did.as_ref().and_then(|did| did.writes.first()) {
        return Err(Refused::QueryWrites { key: write.key().clone() });
    }
    Ok(Response::Queried(queried))
}
