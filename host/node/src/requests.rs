//! What clients ask, answered: each request checked, routed to its shard, done or refused.

use aspen_core::limits::{ENTRY_BYTES_MAX, SCAN_ENTRIES_MAX, SCAN_PAGE_BYTES, TXN_OPS_MAX};
use aspen_core::{
    Caller, ClusterInfo, Command, ComponentInfo, Entry, Fault, Item, Key, MemberInfo, Name, Page,
    Refused, ReplicaStatus, Request, RequestId, Response, ScanRequest, ShardId, Timestamp, Upload,
    Value, View, decode, encode,
};
use aspen_net::PeerId;
use bytes::Bytes;
use tokio::task::JoinHandle;

use crate::node::Node;
use crate::shard::{NotDone, Shard};

/// Answers one request of `from`.
pub async fn serve(node: &Node, from: PeerId, body: Bytes) -> Bytes {
    let result = match decode::<Request>(&body) {
        Ok(request) => answer(node, from, request).await,
        Err(error) => Err(Refused::Malformed { reason: error.to_string() }),
    };
    encode(&result.unwrap_or_else(Response::Refused))
}

async fn answer(node: &Node, from: PeerId, request: Request) -> Result<Response, Refused> {
    if node.is_stopping() {
        return Err(Refused::Unavailable { reason: "the node is stopping".into() });
    }
    match request {
        Request::Cluster => Ok(Response::Cluster(cluster(node))),
        Request::Status => Ok(Response::Status(status(node))),
        Request::Write { shard, request, command } => {
            write(node, from, shard, request, command).await
        }
        Request::Get { shard, keys } => get(node, shard, keys).await,
        Request::Scan(request) => scan(node, request).await,
        Request::Components => components(node).await,
        Request::Describe { name } => describe(node, name).await,
        Request::AddNode { address } => node.add_node(&address).await,
        Request::PromoteNode { node: id } => node.promote_node(id).await,
        Request::RemoveNode { node: id } => node.remove_node(id).await,
    }
}

/// The shard, if it lives here and works.
pub fn find(node: &Node, shard: ShardId) -> Result<&Shard, Refused> {
    let found = node.shard(shard);
    found.ok_or_else(|| Refused::NotFound { what: format!("shard {shard}") })
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

fn failed(fault: Fault) -> Refused {
    let cause = std::error::Error::source(&fault).map(|cause| cause.to_string());
    Refused::Failed { reason: format!("{fault}: {}", cause.unwrap_or_default()) }
}

fn cluster(node: &Node) -> ClusterInfo {
    let first = node.shard(ShardId::new(0));
    let members = first.map(Shard::members).unwrap_or_default().into_iter();
    let member = |(node, (address, voter))| MemberInfo { node, address, voter };
    ClusterInfo {
        cluster: node.cluster(),
        shards: node.router().shards(),
        node: node.id(),
        members: members.map(member).collect(),
        leaders: node.shards().map(Shard::leader).collect(),
    }
}

fn status(node: &Node) -> ReplicaStatus {
    ReplicaStatus { node: node.id(), shards: node.shards().map(Shard::status).collect() }
}

async fn write(
    node: &Node,
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
    if request.is_none() && command != Command::OpenSession {
        let reason = "a write needs a request id of an open session".into();
        return Err(Refused::Invalid { reason });
    }
    if let Command::Upload(Upload { bytes, .. }) = &command {
        check_component(node, bytes.clone()).await?;
    }
    let stamp = Timestamp::new(node.clock_ms());
    let (seed, caller) = (rand::random(), Caller::new(*from.as_bytes()));
    let entry = encode(&Entry { stamp, seed, caller, request, command });
    if entry.len() > ENTRY_BYTES_MAX {
        let reason = format!("entry is {} bytes, limit is {ENTRY_BYTES_MAX}", entry.len());
        return Err(Refused::Invalid { reason });
    }
    shard.propose(entry).await.map(Response::Outcome).map_err(refused)
}

/// Checks and compiles before anything is proposed, off the async threads.
async fn check_component(node: &Node, bytes: Bytes) -> Result<(), Refused> {
    let functions = node.functions().clone();
    let check = move || {
        let manifest = aspen_functions::check(&bytes).map_err(|error| error.to_string())?;
        let compiled = functions.compile(&manifest.component, &bytes);
        match compiled {
            Ok(true) => Ok(()),
            Ok(false) => Err("it cannot be compiled".to_string()),
            Err(fault) => Err(fault.to_string()),
        }
    };
    let checked = off_async(check).await;
    let bad = |reason: String| Refused::BadComponent { reason };
    match checked {
        Ok(checked) => checked.map_err(bad),
        Err(_) => Err(bad("the compiler failed on it".into())),
    }
}

/// Runs `work` off the async threads; in the simulation, which has no others, in place.
#[cfg_attr(madsim, expect(deprecated, reason = "madsim warns that it does not block"))]
fn off_async<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    tokio::task::spawn_blocking(work)
}

async fn get(node: &Node, shard: ShardId, keys: Vec<Key>) -> Result<Response, Refused> {
    if keys.len() > TXN_OPS_MAX {
        let reason = format!("{} keys asked for, limit is {TXN_OPS_MAX}", keys.len());
        return Err(Refused::Invalid { reason });
    }
    let shard = find(node, shard)?;
    shard.linearize().await.map_err(refused)?;
    let read = shard.reader.read(|view, header| {
        let records = keys.iter().map(|key| view.get(key)).collect::<Result<_, _>>()?;
        Ok(Response::Records { revision: header.revision, records })
    });
    read.map_err(failed)
}

async fn scan(node: &Node, request: ScanRequest) -> Result<Response, Refused> {
    let shard = find(node, request.shard)?;
    shard.linearize().await.map_err(refused)?;
    let read = shard.reader.read(|view, header| {
        let (items, more) = page(view, &request)?;
        Ok(Response::Page(Page { revision: header.revision, items, more }))
    });
    read.map_err(failed)
}

/// One page: as many entries as asked for, within the limits on entries and bytes.
fn page(view: &dyn View, request: &ScanRequest) -> Result<(Vec<Item>, bool), Fault> {
    let limit = (request.limit as usize).min(SCAN_ENTRIES_MAX);
    let (mut items, mut bytes, mut more) = (vec![], 0, false);
    view.scan(&request.range, request.reverse, &mut |key, mut record| {
        if items.len() >= limit || bytes >= SCAN_PAGE_BYTES {
            more = true;
            return false;
        }
        if request.keys_only {
            record.value = Value::new(Bytes::new()).expect("an empty value is allowed");
        }
        bytes += key.len() + record.value.as_bytes().len();
        let key = Key::new(Bytes::copy_from_slice(key)).expect("stored keys are within the limit");
        items.push(Item { key, record });
        true
    })?;
    Ok((items, more))
}

async fn components(node: &Node) -> Result<Response, Refused> {
    let shard = find(node, ShardId::new(0))?;
    shard.linearize().await.map_err(refused)?;
    let read = shard.reader.read(|view, _| {
        let info = |(name, alias): (Name, aspen_core::Alias)| {
            let bytes = view.component(&alias.component)?.map_or(0, |bytes| bytes.len() as u64);
            let (component, uploaded) = (alias.component, alias.uploaded);
            Ok(ComponentInfo { name, component, bytes, uploaded })
        };
        let all = view.aliases()?.into_iter().map(info).collect::<Result<_, Fault>>()?;
        Ok(Response::Components(all))
    });
    read.map_err(failed)
}

async fn describe(node: &Node, name: Name) -> Result<Response, Refused> {
    let shard = find(node, ShardId::new(0))?;
    shard.linearize().await.map_err(refused)?;
    let found = shard.reader.read(|view, _| {
        let Some(alias) = view.alias(&name)? else { return Ok(None) };
        view.component(&alias.component)
    });
    let Some(bytes) = found.map_err(failed)? else {
        return Err(Refused::NotFound { what: format!("component {name}") });
    };
    let checked = off_async(move || aspen_functions::check(&bytes)).await;
    match checked {
        Ok(Ok(manifest)) => Ok(Response::Manifest(manifest)),
        Ok(Err(error)) => Err(Refused::BadComponent { reason: error.to_string() }),
        Err(_) => Err(Refused::Failed { reason: "the compiler failed on it".into() }),
    }
}
