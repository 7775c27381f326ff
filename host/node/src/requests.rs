//! What clients ask, answered: each request checked, routed to its shard, done or refused.

use std::sync::Arc;

use aspen_core::defect::{Defect, is_planted};
use aspen_core::limits::{
    COMPONENT_BYTES_MAX, ENTRY_BYTES_MAX, READ_BYTES_MAX, SCAN_ENTRIES_MAX, SCAN_PAGE_BYTES,
    TXN_OPS_MAX,
};
use aspen_core::{
    Caller, ClusterInfo, Command, Consistency, Entry, Expectation, Fault, Header, Item, Key,
    LeaseId, LeaseInfo, Locks, Outcome, Page, Query, Read, Refusal, Refused, ReplicaStatus,
    Request, RequestId, Resident, Response, ScanRequest, ShardId, Timestamp, TxnId, Upload, Value,
    View, ViewId, decode, encode,
};
use aspen_net::PeerId;
use bytes::Bytes;
use tokio::time::Instant;

use crate::call_across;
use crate::compile_ahead::{self, Source};
use crate::components;
use crate::fairness::Pass;
use crate::limits::LOCKED_WAIT;
use crate::node::ShardedRaftNode;
use crate::open_view;
use crate::placement;
use crate::profile;
use crate::query;
use crate::shard::{NotDone, Shard};
use crate::turns::Place;
use crate::two_phase::{self, led, locked_by};
use crate::verify;
use crate::views;

/// Answers one request of `from`.
pub async fn serve(node: &Arc<ShardedRaftNode>, from: PeerId, body: Bytes) -> Bytes {
    let result = match decode::<Request>(&body) {
        Ok(request) => answer(node, from, request).await,
        Err(error) => Err(Refused::Malformed { reason: error.to_string() }),
    };
    encode(&result.unwrap_or_else(Response::Refused))
}

async fn answer(
    node: &Arc<ShardedRaftNode>,
    from: PeerId,
    request: Request,
) -> Result<Response, Refused> {
    if node.is_stopping() {
        return Err(Refused::Unavailable { reason: "the node is stopping".into() });
    }
    if shard_of(&request) == Some(ShardId::SYSTEM) {
        return Err(Refused::NotFound { what: "shard".into() });
    }
    if let Some(shard) = kept_waiting_by_functions(&request) {
        node.fairness().other(shard);
    }
    // Whatever is large and not asked often is boxed: it would be in the future of every request.
    match request {
        Request::Cluster => Ok(Response::Cluster(cluster(node))),
        Request::Status => Ok(Response::Status(status(node))),
        Request::Write { shard, request, command } => {
            write(node, from, shard, request, command).await
        }
        Request::Get { .. } | Request::Scan(_) => read(node, request).await,
        Request::Lease { shard, lease } => Box::pin(self::lease(node, shard, lease)).await,
        Request::Components => components::list(node).await,
        Request::Describe { component } => components::describe(node, component).await,
        Request::History { name } => components::history(node, name).await,
        Request::Notes { shard, after, of } => {
            let shard = led_and_ready(node, shard).await?;
            Ok(Response::Notes(shard.reader.notes(after, of.as_ref())))
        }
        Request::Statistics { shard } => {
            let shard = led_and_ready(node, shard).await?;
            Ok(Response::Statistics(shard.reader.statistics()))
        }
        Request::Schedules { shard } => {
            let shard = led_and_ready(node, shard).await?;
            let all = |resident: &Resident| {
                let all = resident.schedules.iter();
                all.map(|(name, schedule)| (name.clone(), schedule.clone())).collect()
            };
            let found = shard.reader.inspect(move |_, resident, _| Ok(all(resident))).await;
            found.map(Response::Schedules).map_err(failed)
        }
        Request::SwitchProfile { shard, profile } => profile::switch(node, shard, profile).await,
        Request::Place(change) => Box::pin(placement::change(node, change)).await,
        Request::Across { shard, request, transact } => {
            Box::pin(two_phase::transact(node, from, shard, request, &transact)).await
        }
        Request::CallAcross { shard, request, call } => {
            Box::pin(call_across::call(node, from, shard, request, call)).await
        }
        Request::OpenView { shard, range } => Box::pin(open_view::open(node, shard, range)).await,
        Request::CloseView { view } => {
            views::close_all(node, view);
            Ok(Response::ViewClosed)
        }
        Request::Query(query) => Box::pin(query::query(node, from, query)).await,
        Request::Verify { shard } => Box::pin(verify::begin(node, from, shard)).await,
        Request::Verified { shard, index } => verify::found(node, shard, index),
    }
}

/// The shard that a request names, if it names one.
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

/// The shard whose apply a request needs soon, unless it runs a function: those are told apart by
/// what they cost.
fn kept_waiting_by_functions(request: &Request) -> Option<ShardId> {
    match request {
        Request::Write { command: Command::Call(_), .. } => None,
        Request::Write { shard, .. } | Request::Get { shard, .. } => Some(*shard),
        Request::Scan(ScanRequest { shard, .. }) | Request::Across { shard, .. } => Some(*shard),
        _ => None,
    }
}

/// Answers a request to read keys or a range.
pub async fn read(node: &ShardedRaftNode, request: Request) -> Result<Response, Refused> {
    match request {
        Request::Get { shard, keys, reads, consistency } => {
            get(node, shard, keys, reads, consistency).await
        }
        Request::Scan(request) => scan(node, request).await,
        _ => Err(Refused::Invalid { reason: "it is no read".into() }),
    }
}

/// The shard, if it lives here and works.
pub fn find(node: &ShardedRaftNode, shard: ShardId) -> Result<Arc<Shard>, Refused> {
    match node.shard(shard) {
        Some(found) => match found.reader.failed() {
            Some(reason) => Err(Refused::Failed { reason }),
            None => Ok(found),
        },
        None => Err(match node.waiting(shard) {
            Some(reason) => Refused::Failed { reason },
            None if shard.get() >= node.router().shards() => {
                Refused::NotFound { what: format!("shard {shard}") }
            }
            None => {
                let map = node.map();
                Refused::NotHere { epoch: map.epoch, replicas: map.replicas(shard) }
            }
        }),
    }
}

/// The shard, if this node leads it, once every acknowledged call is applied here.
pub async fn led_and_ready(node: &ShardedRaftNode, shard: ShardId) -> Result<Arc<Shard>, Refused> {
    let shard = led(node, shard)?;
    shard.ready(Consistency::Linearizable).await.map_err(refused)?;
    Ok(shard)
}

/// What a replica's refusal means to the client.
pub fn refused(not_done: NotDone) -> Refused {
    match not_done {
        NotDone::NotLeader(leader) => Refused::NotLeader { leader },
        NotDone::NoMajority => {
            Refused::Unavailable { reason: "no majority of the replicas answers".into() }
        }
        NotDone::Unknown => Refused::OutcomeUnknown,
        NotDone::Stopped(reason) => Refused::Failed { reason },
    }
}

pub fn failed(fault: Fault) -> Refused {
    let cause = std::error::Error::source(&fault).map(|cause| cause.to_string());
    Refused::Failed { reason: format!("{fault}: {}", cause.unwrap_or_default()) }
}

fn cluster(node: &ShardedRaftNode) -> ClusterInfo {
    let map = node.map();
    let leader = |shard| node.shard(shard).and_then(|shard| shard.leader());
    ClusterInfo {
        cluster: node.cluster(),
        shards: node.router().shards(),
        node: node.id(),
        epoch: map.epoch,
        placement: map.placement.clone(),
        leaders: node.router().all().map(leader).collect(),
    }
}

fn status(node: &ShardedRaftNode) -> ReplicaStatus {
    let shards = node.router().all().filter_map(|shard| node.shard_status(shard)).collect();
    ReplicaStatus { node: node.id(), shards, profiles: node.functions().profiles() }
}

async fn write(
    node: &ShardedRaftNode,
    from: PeerId,
    shard: ShardId,
    request: Option<RequestId>,
    command: Command,
) -> Result<Response, Refused> {
    let shard = find(node, shard)?;
    // Spares a useless check or compilation; Raft itself decides who may propose.
    if shard.leader() != Some(node.id()) {
        return Err(Refused::NotLeader { leader: shard.leader_address() });
    }
    if !command.is_for_clients() || (request.is_none() && command != Command::OpenSession) {
        let reason = "a write needs a request id of an open session".into();
        return Err(Refused::Invalid { reason });
    }
    let caller = Caller::new(*from.as_bytes());
    match &command {
        Command::Upload(Upload { bytes, .. }) => {
            if bytes.len() > COMPONENT_BYTES_MAX {
                let reason = format!("{} bytes need an upload in parts", bytes.len());
                return Err(Refused::Invalid { reason });
            }
            let source = Source::Bytes(bytes.clone());
            Box::pin(compile_ahead::everywhere(node, &shard, bytes.clone(), source)).await?;
        }
        Command::FinishUpload { component, .. } => {
            let checked = components::check_staged(node, &shard, caller, *component);
            let complete = Box::pin(checked).await?;
            if !complete {
                let incomplete = Outcome::Refused(Refusal::UploadIncomplete);
                return Ok(Response::Outcome(encode(&incomplete)));
            }
        }
        _ => {}
    }
    let written = written(node, caller, request, command);
    let entry = encode(&written);
    if entry.len() > ENTRY_BYTES_MAX {
        let reason = format!("entry is {} bytes, limit is {ENTRY_BYTES_MAX}", entry.len());
        return Err(Refused::Invalid { reason });
    }
    let until = Instant::now() + LOCKED_WAIT;
    loop {
        let pass = match &written.command {
            Command::Call(call) => {
                node.fairness().turn(caller, Place::apply(shard.id), call).await?
            }
            _ => None,
        };
        let outcome = match pass {
            None => shard.propose(entry.clone()).await,
            Some(pass) => propose_inside(&shard, entry.clone(), pass).await,
        };
        let outcome = outcome.map_err(refused)?;
        let Some(by) = locked_by(&outcome) else { return Ok(Response::Outcome(outcome)) };
        Box::pin(wait_for(node, &shard, by, until)).await?;
    }
}

/// Proposes a heavy call, which is over when its outcome is known, also if nobody waits for that any
/// more.
async fn propose_inside(shard: &Arc<Shard>, entry: Bytes, pass: Pass) -> Result<Bytes, NotDone> {
    let shard = shard.clone();
    let proposed = tokio::spawn(async move {
        let outcome = shard.propose(entry).await;
        drop(pass);
        outcome
    });
    // It ends otherwise only with the runtime.
    proposed.await.unwrap_or(Err(NotDone::Unknown))
}

/// Waits until a transaction that is in the way is over.
pub async fn wait_for(
    node: &ShardedRaftNode,
    shard: &Shard,
    by: TxnId,
    until: Instant,
) -> Result<(), Refused> {
    if Instant::now() >= until {
        let reason = format!("transaction {by} is under way there");
        return Err(Refused::Unavailable { reason });
    }
    two_phase::unlocked(node, shard, by, until).await;
    Ok(())
}

/// An entry as this node proposes it now.
pub fn entry(
    node: &ShardedRaftNode,
    caller: Caller,
    request: Option<RequestId>,
    command: Command,
) -> Bytes {
    encode(&written(node, caller, request, command))
}

fn written(
    node: &ShardedRaftNode,
    caller: Caller,
    request: Option<RequestId>,
    command: Command,
) -> Entry {
    let (stamp, seed) = (Timestamp::new(node.clock_ms()), rand::random());
    Entry { stamp, seed, caller, request, command }
}

async fn get(
    node: &ShardedRaftNode,
    shard: ShardId,
    keys: Vec<Key>,
    reads: Vec<Read>,
    consistency: Consistency,
) -> Result<Response, Refused> {
    let count = keys.len() + reads.len();
    if count > TXN_OPS_MAX {
        let reason = format!("{count} keys asked for, limit is {TXN_OPS_MAX}");
        return Err(Refused::Invalid { reason });
    }
    let shard = find(node, shard)?;
    shard.ready(consistency).await.map_err(refused)?;
    let asked = keys.clone();
    let locked = move |locks: &Locks| asked.iter().find_map(|key| locks.writer(key));
    let read = move |view: &dyn View, header: Header| {
        let (mut records, mut bytes) = (Vec::with_capacity(keys.len()), 0);
        for key in &keys {
            let record = view.get(key)?;
            bytes += key.as_bytes().len();
            bytes += record.as_ref().map_or(0, |record| record.value.as_bytes().len());
            if bytes > READ_BYTES_MAX {
                let reason = format!("the keys hold more than {READ_BYTES_MAX} bytes, read fewer");
                return Ok(Response::Refused(Refused::Invalid { reason }));
            }
            records.push(record);
        }
        Ok(Response::Records { revision: header.revision, records })
    };
    checked(node, &shard, reads, locked, read).await
}

async fn scan(node: &ShardedRaftNode, mut request: ScanRequest) -> Result<Response, Refused> {
    let shard = find(node, request.shard)?;
    if let Some(view) = request.view {
        return scan_view(&shard, view, &request);
    }
    shard.ready(request.consistency).await.map_err(refused)?;
    let reads = std::mem::take(&mut request.reads);
    let range = request.range.clone();
    let locked = move |locks: &Locks| locks.writer_in(&range);
    let read = move |view: &dyn View, header: Header| {
        let (items, more) = page(view, &request)?;
        Ok(Response::Page(Page { revision: header.revision, items, more }))
    };
    checked(node, &shard, reads, locked, read).await
}

/// A page of a view that stays as it was.
fn scan_view(shard: &Shard, view: ViewId, request: &ScanRequest) -> Result<Response, Refused> {
    if !request.reads.is_empty() {
        let reason = "a view is read without conditions".into();
        return Err(Refused::Invalid { reason });
    }
    let view = shard.views.find(view).ok_or(Refused::ViewLost)?;
    let read = view.read(|view, header| Ok((header.revision, page(view, request)?)));
    let (revision, (items, more)) = read.map_err(failed)?;
    Ok(Response::Page(Page { revision, items, more }))
}

/// Runs `read` if `reads` hold at its revision; else answers as a transaction with them would be.
/// Waits while a transaction across shards holds what is read (`locked`).
async fn checked(
    node: &ShardedRaftNode,
    shard: &Shard,
    reads: Vec<Read>,
    locked: impl Fn(&Locks) -> Option<TxnId> + Clone + Send + 'static,
    read: impl Fn(&dyn View, Header) -> Result<Response, Fault> + Clone + Send + 'static,
) -> Result<Response, Refused> {
    let needs_removed = |read: &Read| match read {
        Read::Range { .. } | Read::Key { expected: Expectation::UnchangedSince(_), .. } => true,
        Read::Key { .. } => false,
    };
    let until = Instant::now() + LOCKED_WAIT;
    // Whoever asks about removed keys, or meets locks, waits for apply, which alone knows them.
    let mut asks_apply = reads.iter().any(needs_removed);
    loop {
        if !asks_apply {
            let resident = Resident::default();
            let answer = shard.reader.read(|view, header| match header.prepared {
                0 => answer_if(view, &resident, header, &reads, &read).map(Some),
                _ => Ok(None),
            });
            if let Some(answer) = answer.map_err(failed)? {
                return Ok(answer);
            }
        }
        asks_apply = true;
        let (reads, read, locked) = (reads.clone(), read.clone(), locked.clone());
        let inspect = move |view: &dyn View, resident: &Resident, header: Header| {
            let locks = &resident.locks;
            match locks.blocks_reads(&reads).or_else(|| locked(locks)) {
                Some(by) if !is_planted(Defect::IgnoreLocks) => Ok(Err(by)),
                _ => answer_if(view, resident, header, &reads, &read).map(Ok),
            }
        };
        match shard.reader.inspect(inspect).await.map_err(failed)? {
            Ok(answer) => return Ok(answer),
            Err(by) => Box::pin(wait_for(node, shard, by, until)).await?,
        }
    }
}

fn answer_if(
    view: &dyn View,
    resident: &Resident,
    header: Header,
    reads: &[Read],
    read: &impl Fn(&dyn View, Header) -> Result<Response, Fault>,
) -> Result<Response, Fault> {
    match aspen_core::check_reads(view, resident, &header, reads)? {
        Ok(conflicts) if conflicts.is_empty() => read(view, header),
        Ok(conflicts) => {
            let outcome = Outcome::Conflict { revision: header.revision, conflicts };
            Ok(Response::Outcome(encode(&outcome)))
        }
        Err(refusal) => Ok(Response::Outcome(encode(&Outcome::Refused(refusal)))),
    }
}

async fn lease(
    node: &ShardedRaftNode,
    shard: ShardId,
    lease: LeaseId,
) -> Result<Response, Refused> {
    let shard = find(node, shard)?;
    shard.ready(Consistency::Linearizable).await.map_err(refused)?;
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
    shard.reader.inspect(inspect).await.map_err(failed)
}

/// One page: as many entries as asked for, within the limits on entries and bytes.
fn page(view: &dyn View, request: &ScanRequest) -> Result<(Vec<Item>, bool), Fault> {
    let limit = (request.limit as usize).min(SCAN_ENTRIES_MAX);
    let bytes_max = (request.bytes as usize).min(SCAN_PAGE_BYTES);
    let (mut items, mut bytes, mut more) = (vec![], 0, false);
    view.scan(&request.range, request.reverse, &mut |key, mut record| {
        if request.keys_only {
            record.value = Value::new(Bytes::new()).expect("an empty value is allowed");
        }
        bytes += key.len() + record.value.as_bytes().len();
        if items.len() >= limit || (bytes > bytes_max && !items.is_empty()) {
            more = true;
            return false;
        }
        let key = Key::new(Bytes::copy_from_slice(key)).expect("stored keys are within the limit");
        items.push(Item { key, record });
        true
    })?;
    Ok((items, more))
}
