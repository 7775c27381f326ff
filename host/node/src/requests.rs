//! What clients ask, answered: each request checked, routed to its shard, done or refused.

use std::sync::Arc;

use aspen_core::defect::{Defect, is_planted};
use aspen_core::limits::{
    ENTRY_BYTES_MAX, READ_BYTES_MAX, SCAN_ENTRIES_MAX, SCAN_PAGE_BYTES, TXN_OPS_MAX,
};
use aspen_core::{
    Caller, ClusterInfo, Command, ComponentInfo, ComponentRef, Consistency, Entry, Expectation,
    Fault, Header, Item, Key, LeaseId, LeaseInfo, Locks, Name, Outcome, Page, Pointed, Query, Read,
    Refused, ReplicaStatus, Request, RequestId, Resident, Response, ScanRequest, ShardId,
    Timestamp, TxnId, Upload, Value, View, ViewId, decode, encode,
};
use aspen_functions::CompileError;
use aspen_net::PeerId;
use bytes::Bytes;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::call_across;
use crate::limits::LOCKED_WAIT;
use crate::node::ShardedRaftNode;
use crate::open_view;
use crate::placement;
use crate::query;
use crate::shard::{NotDone, Shard};
use crate::two_phase::{self, locked_by};
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
    match request {
        Request::Cluster => Ok(Response::Cluster(cluster(node))),
        Request::Status => Ok(Response::Status(status(node))),
        Request::Write { shard, request, command } => {
            write(node, from, shard, request, command).await
        }
        Request::Get { .. } | Request::Scan(_) => read(node, request).await,
        Request::Lease { shard, lease } => self::lease(node, shard, lease).await,
        Request::Components => components(node).await,
        Request::Describe { component } => describe(node, component).await,
        Request::History { name } => history(node, name).await,
        Request::Place(change) => placement::change(node, change).await,
        Request::Across { shard, request, transact } => {
            two_phase::transact(node, from, shard, request, &transact).await
        }
        Request::CallAcross { shard, request, call } => {
            call_across::call(node, from, shard, request, call).await
        }
        Request::OpenView { shard, range } => open_view::open(node, shard, range).await,
        Request::CloseView { view } => {
            views::close_all(node, view);
            Ok(Response::ViewClosed)
        }
        Request::Query(query) => query::query(node, from, query).await,
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
        Request::CloseView { .. } => None,
        Request::Cluster | Request::Status | Request::Place(_) => None,
        Request::Components | Request::Describe { .. } | Request::History { .. } => None,
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
    ReplicaStatus { node: node.id(), shards }
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
    if let Command::Upload(Upload { bytes, .. }) = &command {
        check_component(node, bytes.clone()).await?;
    }
    let entry = entry(node, Caller::new(*from.as_bytes()), request, command);
    if entry.len() > ENTRY_BYTES_MAX {
        let reason = format!("entry is {} bytes, limit is {ENTRY_BYTES_MAX}", entry.len());
        return Err(Refused::Invalid { reason });
    }
    let until = Instant::now() + LOCKED_WAIT;
    loop {
        let outcome = shard.propose(entry.clone()).await.map_err(refused)?;
        let Some(by) = locked_by(&outcome) else { return Ok(Response::Outcome(outcome)) };
        wait_for(node, &shard, by, until).await?;
    }
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
    let (stamp, seed) = (Timestamp::new(node.clock_ms()), rand::random());
    encode(&Entry { stamp, seed, caller, request, command })
}

/// Lets what is due expire. If it is not done, the next leader does it.
pub async fn tick(node: &ShardedRaftNode, shard: &Shard) {
    let _: Result<Bytes, NotDone> =
        shard.propose(entry(node, Caller::LOCAL, None, Command::Tick)).await;
}

/// Checks and compiles before anything is proposed, off the async threads. If nobody waits for the
/// answer any more, because the client or this node goes away, the compilation ends too.
async fn check_component(node: &ShardedRaftNode, bytes: Bytes) -> Result<(), Refused> {
    let functions = node.functions().clone();
    let waiting = Arc::new(());
    let is_awaited = Arc::downgrade(&waiting);
    let check = move || {
        let bad = |reason: String| Refused::BadComponent { reason };
        let manifest = aspen_functions::check(&bytes).map_err(|error| bad(error.to_string()))?;
        let is_given_up = || is_awaited.strong_count() == 0;
        let compiled = functions.compile(&manifest.component, &bytes, &is_given_up);
        compiled.map_err(|error| match error {
            CompileError::Busy | CompileError::Start { .. } => {
                Refused::Unavailable { reason: error.to_string() }
            }
            _ => bad(error.to_string()),
        })
    };
    let checked = off_async(check).await;
    drop(waiting);
    let failed = |_| Refused::BadComponent { reason: "the compiler failed on it".into() };
    checked.map_err(failed)?
}

/// Runs `work` off the async threads; in the simulation, which has no others, in place.
#[cfg_attr(madsim, expect(deprecated, reason = "madsim warns that it does not block"))]
fn off_async<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    tokio::task::spawn_blocking(work)
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
            Err(by) => wait_for(node, shard, by, until).await?,
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

async fn components(node: &ShardedRaftNode) -> Result<Response, Refused> {
    let shard = find(node, ShardId::new(0))?;
    shard.ready(Consistency::Linearizable).await.map_err(refused)?;
    let read = shard.reader.read(|view, _| {
        let info = |(name, alias): (Name, Arc<aspen_core::Alias>)| {
            let Pointed { component, time, .. } = *alias.now();
            let bytes = view.component(&component)?.map_or(0, |bytes| bytes.len() as u64);
            Ok(ComponentInfo { name, component, bytes, uploaded: time })
        };
        let all = view.aliases()?.into_iter().map(info).collect::<Result<_, Fault>>()?;
        Ok(Response::Components(all))
    });
    read.map_err(failed)
}

async fn history(node: &ShardedRaftNode, name: Name) -> Result<Response, Refused> {
    let shard = find(node, ShardId::new(0))?;
    shard.ready(Consistency::Linearizable).await.map_err(refused)?;
    let alias = shard.reader.read(|view, _| view.alias(&name)).map_err(failed)?;
    let not_found = || Refused::NotFound { what: format!("component {name}") };
    Ok(Response::History(alias.ok_or_else(not_found)?.history.clone()))
}

async fn describe(node: &ShardedRaftNode, component: ComponentRef) -> Result<Response, Refused> {
    let shard = find(node, ShardId::new(0))?;
    shard.ready(Consistency::Linearizable).await.map_err(refused)?;
    let found = shard.reader.read(|view, _| {
        let hash = match &component {
            ComponentRef::Hash(hash) => Some(*hash),
            ComponentRef::Name(name) => view.alias(name)?.map(|alias| alias.now().component),
        };
        hash.map_or(Ok(None), |hash| view.component(&hash))
    });
    let Some(bytes) = found.map_err(failed)? else {
        return Err(Refused::NotFound { what: format!("component {component}") });
    };
    let checked = off_async(move || aspen_functions::check(&bytes)).await;
    match checked {
        Ok(Ok(manifest)) => Ok(Response::Manifest(manifest)),
        Ok(Err(error)) => Err(Refused::BadComponent { reason: error.to_string() }),
        Err(_) => Err(Refused::Failed { reason: "the compiler failed on it".into() }),
    }
}
