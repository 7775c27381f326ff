//! The life of components on real clusters: names that go forward, back and away, and pinned hashes.

use aspen_client::{CallError, Client, ProfileId, Refusal, RequestError, Val, WriteError};
use aspen_core::ids::ComponentHash;
use aspen_core::protocol::ErrorReply;
use aspen_node::Timing;
use aspen_tests::cluster::Cluster;
use aspen_tests::guests::component;
use bytes::Bytes;

/// The bank with another hash: a custom section of this content at its end.
fn bank(version: u8) -> Bytes {
    let mut bytes = component("bank").to_vec();
    // Section 0: its size, then the length of its name, the name, and the content.
    bytes.extend([0, 3, 1, b'v', version]);
    bytes.into()
}

async fn touch(client: &Client, component: &str) -> Result<(), CallError> {
    client.call(component, "touch", "k", &[]).await.map(|_| ())
}

fn is_unknown(result: Result<(), CallError>) -> bool {
    matches!(result, Err(CallError::CallRefusal { refusal: Refusal::ComponentUnknown }))
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_name_goes_back_and_away_also_over_a_restart() {
    let mut cluster = Cluster::with_shards(3, 2, Timing::default()).await;
    let client = cluster.client().await;
    let mut hashes = vec![];
    for version in 1..=2 {
        hashes.push(client.upload("bank", bank(version)).await.unwrap());
    }
    let [first, second] = [hashes[0], hashes[1]];
    let pinned = |hash: ComponentHash| format!("sha256:{hash}");
    client.point("bank", first).await.unwrap();
    client.point("old-bank", second).await.unwrap();
    for node in 0..3 {
        cluster.stop_node(node).await;
        cluster.start_node(node).await;
    }
    let history = client.history("bank").await.unwrap().history;
    let components: Vec<_> = history.iter().map(|pointed| pointed.component).collect();
    assert_eq!(components, [first, second, first]);
    assert!(history.is_sorted_by_key(|pointed| pointed.time));
    for name in ["bank", "old-bank", &pinned(first), &pinned(second)] {
        touch(&client, name).await.unwrap();
    }
    let listed = client.components().await.unwrap();
    let listed: Vec<_> = listed.iter().map(|it| (it.name.as_str(), it.component)).collect();
    assert_eq!(listed, [("bank", first), ("old-bank", second)]);
    assert_eq!(client.describe(&pinned(second)).await.unwrap().component, second);

    assert!(client.remove_name("bank").await.unwrap());
    assert!(!client.remove_name("bank").await.unwrap());
    assert!(is_unknown(touch(&client, "bank").await));
    assert!(is_unknown(touch(&client, &pinned(first)).await), "it is compiled, but gone");
    touch(&client, &pinned(second)).await.unwrap();
    let gone = client.history("bank").await.unwrap_err();
    assert!(
        matches!(gone, RequestError::Refused { refused: ErrorReply::NotFound { .. } }),
        "{gone}"
    );
    let gone = client.point("bank", first).await.unwrap_err();
    let WriteError::Refusal { refusal: Refusal::ComponentUnknown } = gone else { panic!("{gone}") };
    // A removed component can be uploaded again, and replicas that had it compiled and those that had not
    // agree.
    client.upload("bank", bank(1)).await.unwrap();
    touch(&client, &pinned(first)).await.unwrap();
    client.close().await;
    cluster.stop().await;
}

/// A component whose `which` says this number.
fn which(number: u64) -> Bytes {
    let text = format!(
        r#"(component
            (core module $m (func (export "which") (result i64) (i64.const {number})))
            (core instance $i (instantiate $m))
            (func (export "which") (result u64) (canon lift (core func $i "which"))))"#
    );
    wat::parse_str(text).unwrap().into()
}

/// Of 200 tags, which go to the second version.
async fn places(client: &Client) -> Vec<bool> {
    let mut places = vec![];
    for n in 0..200 {
        let reply = client.call("it", "which", format!("{{t{n}}}/a"), &[]).await.unwrap();
        places.push(reply.value == Some(Val::U64(2)));
    }
    places
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_canary_gets_its_share_of_tags_and_the_same_ones_after_a_restart() {
    let mut cluster = Cluster::with_shards(3, 2, Timing::default()).await;
    let client = cluster.client().await;
    let first = client.upload("it", which(1)).await.unwrap();
    let second = client.upload("it-next", which(2)).await.unwrap();
    client.canary("it", Some((second, 25))).await.unwrap();
    let places_before = places(&client).await;
    let share = places_before.iter().filter(|is_second| **is_second).count();
    assert!((25..=75).contains(&share), "{share} of 200");
    for node in 0..3 {
        cluster.stop_node(node).await;
        cluster.start_node(node).await;
    }
    assert_eq!(places(&client).await, places_before);
    let listed = client.components().await.unwrap();
    assert_eq!((listed[0].component, listed[0].canary), (first, Some((second, 25))));
    // A name that is gone leaves the component to the canary.
    client.remove_name("it-next").await.unwrap();
    client.canary("it", Some((second, 100))).await.unwrap();
    assert!(places(&client).await.iter().all(|is_second| *is_second));
    client.point("it", second).await.unwrap();
    let alias = client.history("it").await.unwrap();
    assert_eq!((alias.now().component, alias.canary), (second, None));
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_profile_is_switched_only_to_what_every_node_knows() {
    let cluster = Cluster::with_shards(3, 2, Timing::default()).await;
    let client = cluster.client().await;
    client.put("k", "v").await.unwrap();
    let profiles = client.profiles().await;
    let (first, unknown) = (ProfileId::FIRST, ProfileId::new(ProfileId::FIRST.get() + 1));
    assert_eq!((profiles.present, profiles.newest), (vec![first], Some(first)));
    assert_eq!(profiles.of_nodes.len(), 3);
    client.switch_profile(first).await.unwrap();
    let refused = client.switch_profile(unknown).await.unwrap_err();
    assert!(
        matches!(&refused, RequestError::Refused { refused: ErrorReply::Invalid { reason } }
            if reason.contains(&format!("cannot run {unknown}: install a newer version there"))),
        "{refused}"
    );
    assert_eq!(client.profiles().await.present, [first]);
    client.close().await;
    cluster.stop().await;
}
