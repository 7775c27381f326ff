//! Large components on real clusters: in parts to every shard, callable on every node, and nothing left of
//! an upload that was interrupted.

use std::cell::RefCell;

use aspen::server::BoundServer;
use aspen_client::{CallError, Client, Options, UploadProgress, WriteError};
use aspen_core::limits::{COMPONENT_BYTES_MAX, LARGE_COMPONENT_BYTES_MAX};
use aspen_core::protocol::ErrorReply;
use aspen_functions::CompileCheck;
use aspen_node::Timing;
use aspen_tests::cluster::Cluster;
use aspen_tests::guests::{component, padded};
use bytes::Bytes;

/// The bank, made large.
fn large_bank(size: usize) -> Bytes {
    padded(&component("bank"), size)
}

async fn touch(client: &Client, key: &str) -> Result<(), CallError> {
    client.call("bank", "touch", key, &[]).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_large_component_arrives_in_parts_and_is_called_everywhere() {
    let mut cluster = Cluster::with_shards(3, 2, Timing::default()).await;
    let client = cluster.client().await;
    let bank = large_bank(5 << 20);
    let seen = RefCell::new(vec![]);
    let note = |progress: UploadProgress| seen.borrow_mut().push(progress.sent);
    let hash = client.upload_with("bank", bank.clone(), note).await.unwrap();
    let seen = seen.into_inner();
    assert!(seen.is_sorted() && seen.len() >= 12, "a part at a time: {seen:?}");
    assert_eq!(*seen.last().unwrap(), 2 * bank.len() as u64);
    for key in ["a", "b", "c", "d", "e"] {
        touch(&client, key).await.unwrap();
    }
    let described = client.describe("bank").await.unwrap();
    assert_eq!((described.component, described.bytes), (hash, bank.len() as u64));
    // Again, and under another name: no part is sent.
    let seen = RefCell::new(vec![]);
    let note = |progress: UploadProgress| seen.borrow_mut().push(progress.sent);
    client.upload_with("other", bank.clone(), note).await.unwrap();
    assert_eq!(seen.into_inner(), [bank.len() as u64, 2 * bank.len() as u64]);
    for node in 0..3 {
        cluster.stop_node(node).await;
        cluster.start_node(node).await;
    }
    for key in ["a", "b", "c", "d", "e"] {
        touch(&client, key).await.unwrap();
    }
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_upload_goes_on_where_it_was_interrupted() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    let bank = large_bank(COMPONENT_BYTES_MAX);
    let (half, arrived) = tokio::sync::oneshot::channel();
    let half = RefCell::new(Some(half));
    let stop = |progress: UploadProgress| {
        if progress.sent > 1 << 20
            && let Some(half) = half.take()
        {
            half.send(progress.sent).unwrap();
        }
    };
    let sent = tokio::select! {
        biased;
        sent = arrived => sent.unwrap(),
        _ = client.upload_with("bank", bank.clone(), stop) => panic!("it is interrupted before"),
    };
    assert!(matches!(touch(&client, "a").await, Err(CallError::CallRefusal { .. })));
    let seen = RefCell::new(vec![]);
    client
        .upload_with("bank", bank, |progress| seen.borrow_mut().push(progress.sent))
        .await
        .unwrap();
    let first = seen.borrow()[0];
    assert!(first >= sent, "{first} after {sent}: what was there is not sent again");
    touch(&client, "a").await.unwrap();
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_bad_large_component_is_refused_by_the_leader() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client_with(Options::default()).await;
    let bad =
        Bytes::from([b"\0asm\x0d\0\x01\0".to_vec(), vec![0xff; COMPONENT_BYTES_MAX]].concat());
    let error = client.upload("bank", bad).await.unwrap_err();
    let WriteError::Request { source } = error else { panic!("{error}") };
    assert!(matches!(
        source,
        aspen_client::RequestError::Refused { refused: ErrorReply::BadComponent { .. } }
    ));
    let huge = vec![0; LARGE_COMPONENT_BYTES_MAX + 1];
    let error = client.upload("bank", huge).await.unwrap_err().to_string();
    assert_eq!(error, "component is 25165825 bytes, limit is 25165824");
    client.close().await;
    cluster.stop().await;
}

/// Whatever this node cannot compile is refused, though the leader can.
#[tokio::test(flavor = "multi_thread")]
async fn cluster_upload_is_compiled_on_every_replica_before_it_is_proposed() {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client_with(Options::default()).await;
    client.upload("before", component("bank")).await.unwrap();
    let other = (cluster.leader().await + 1) % 3;
    cluster.stop_node(other).await;
    let bound =
        BoundServer::open(&cluster.folder(other), ([127, 0, 0, 1], 0).into()).await.unwrap();
    let failing = bound.compiling_in(CompileCheck::new("/bin/false", ""));
    cluster.servers[other] = Some(failing.serve(cluster.timing).await.unwrap());
    cluster.equal_digests().await;

    for (name, bank) in [("small", component("purchases").into()), ("large", large_bank(3 << 20))] {
        let error = client.upload(name, bank.clone()).await.unwrap_err();
        let WriteError::Request { source } = &error else { panic!("{error}") };
        let aspen_client::RequestError::Refused { refused } = source else { panic!("{error}") };
        let ErrorReply::BadComponent { reason } = refused else { panic!("{error}") };
        let expected = format!("on n{}: the compiler failed on the component", other + 1);
        assert!(reason.starts_with(&expected), "{reason}");
        assert!(client.history(name).await.is_err(), "nothing was proposed");
    }
    // It need not compile again the component that it has compiled before.
    client.upload("after", component("bank")).await.unwrap();
    // One that is down holds up nothing.
    cluster.stop_node(other).await;
    client.upload("small", component("purchases")).await.unwrap();
    client.upload("bank", large_bank(3 << 20)).await.unwrap();
    cluster.start_node(other).await;
    cluster.equal_digests().await;
    touch(&client, "a").await.unwrap();
    client.close().await;
    cluster.stop().await;
}
