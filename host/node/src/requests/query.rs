//! Queries and dry runs: functions on the state as it is, without the log.
//!
//! Promises a view of one moment, as fresh as asked, that shows each transaction across shards
//! whole or not at all: if one is under way on the keys that the function reads, the query waits. A
//! replica that is no leader answers queries that may be stale. Queries run on threads of their own, so
//! that a slow query delays neither apply nor async tasks. Leaves out ranges and keys of other
//! shards.

use std::sync::Arc;

use aspen_core::apply::Context;
use aspen_core::function::Call;
use aspen_core::ids::{Caller, Fuel, ProfileId, ShardId, Timestamp};
use aspen_core::protocol::{ErrorReply, Query, QueryReply, Response};
use aspen_core::state::{Header, Resident};
use aspen_core::two_phase::Locks;
use aspen_core::view::{HostError, View};
use aspen_functions::WasmFunctions;
use aspen_net::PeerId;
use tokio::time::Instant;

use crate::across::wait_for;
use crate::context::{NodeContext, find};
use crate::functions::run_in_background;
use crate::limits::LOCKED_WAIT;
use crate::replica::{Replica, failed};

/// Answers a query.
pub async fn query(node: &NodeContext, from: PeerId, query: Query) -> Result<Response, ErrorReply> {
    let Query { shard, call, consistency, dry_run } = query;
    if !call.reads.is_empty() {
        return Err(ErrorReply::Invalid { reason: "a query depends on no reads".into() });
    }
    let home = find(node, shard)?;
    home.ready(consistency).await?;
    let run = QueryRun {
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
    loop {
        let queried = match run.without_locks(node, &home).await? {
            Some(queried) => Some(queried),
            None => run.with_locks(node, &home).await?,
        };
        let Some(queried) = queried else { continue };
        match queried.locked_by() {
            Some(by) => wait_for(node, &home, by, until).await?,
            None => return answer(queried, dry_run),
        }
    }
}

/// The parts that are the same in every attempt: all but time and profile, which are those of the
/// view.
#[derive(Clone)]
struct QueryRun {
    functions: Arc<WasmFunctions>,
    context: Context,
    call: Call,
}

impl QueryRun {
    /// Runs the function on the latest state; `None` if a transaction across shards is under way
    /// there.
    async fn without_locks(
        &self,
        node: &NodeContext,
        home: &Replica,
    ) -> Result<Option<QueryReply>, ErrorReply> {
        let (reader, here, none) = (home.reader.clone(), self.clone(), Locks::default());
        let work = move || {
            let queried = reader.read(|view, header| match header.prepared {
                0 => here.on(view, &none, header).map(Some),
                _ => Ok(None),
            });
            let fuel = queried.as_ref().ok().and_then(|queried| queried.as_ref()?.outcome.fuel());
            (queried, fuel)
        };
        self.run(node, home.id, work).await
    }

    /// Runs the function on a pinned view. The locks are in memory and not in the view, so they are
    /// taken at one moment with the view, between two batches. A function that reads a locked key
    /// then waits and runs again, so a write that was acknowledged on another shard is never
    /// missing. `None` if there was no such moment.
    async fn with_locks(
        &self,
        node: &NodeContext,
        home: &Replica,
    ) -> Result<Option<QueryReply>, ErrorReply> {
        let (sender, locks) = std::sync::mpsc::channel();
        let look = move |resident: &Resident| {
            // It is received below.
            let _ = sender.send(resident.locks.clone());
            None::<()>
        };
        let Ok((view, gate)) = home.reader.pin(look).await.map_err(failed)? else {
            return Ok(None);
        };
        drop(gate);
        let (locks, here) = (locks.try_recv().unwrap_or_default(), self.clone());
        let work = move || {
            let queried = view.read(|view, header| here.on(view, &locks, header));
            let fuel = queried.as_ref().ok().and_then(|queried| queried.outcome.fuel());
            (queried.map(Some), fuel)
        };
        self.run(node, home.id, work).await
    }

    async fn run<T: Send + 'static>(
        &self,
        node: &NodeContext,
        shard: ShardId,
        work: impl FnOnce() -> (Result<T, HostError>, Option<Fuel>) + Send + 'static,
    ) -> Result<T, ErrorReply> {
        let caller = self.context.caller;
        let ran = run_in_background(node, caller, shard, &self.call, work).await?;
        ran.map_err(failed)
    }

    fn on(&self, view: &dyn View, locks: &Locks, header: Header) -> Result<QueryReply, HostError> {
        let time = header.clock.max(self.context.time);
        let context = Context { time, profile: header.profile, ..self.context };
        aspen_core::apply::query(view, locks, &header, &*self.functions, &context, &self.call)
    }
}

fn answer(mut queried: QueryReply, dry_run: bool) -> Result<Response, ErrorReply> {
    let did = queried.dry_run.take_if(|_| !dry_run);
    if let Some(write) = did.as_ref().and_then(|did| did.writes.first()) {
        return Err(ErrorReply::QueryWrites { key: write.key().clone() });
    }
    Ok(Response::Query(queried))
}
