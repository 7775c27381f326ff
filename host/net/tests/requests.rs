//! A caller and a peer that answers: replies, in any number and order, or an error that says if the
//! request left. Real iroh on 127.0.0.1.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unreachable,
    reason = "a test fails by a panic, also in its helper functions"
)]

mod peers;

use std::{sync::atomic::Ordering, time::Duration};

use aspen_net::{
    NetError, Purpose, Transport, Unanswered,
    limits::{BODY_BYTES_MAX, REQUESTS_IN_FLIGHT_MAX},
};
use bytes::Bytes;
use peers::{HANG, HUGE, PANIC, PLENTY, Script, ask, client, server};
use tokio_real::task::JoinSet;

/// A deadline that is meant to pass.
const SOON: Duration = Duration::from_millis(300);

#[tokio_real::test(flavor = "multi_thread", crate = "tokio_real")]
async fn bodies_of_every_size_come_back_for_every_purpose() {
    let (server, client) = (server(&Script::new(None)).await, client().await);
    for purpose in [Purpose::Raft, Purpose::Snapshot, Purpose::Client] {
        for bytes in [0, 1, 4_096, 4_097, 100_000, BODY_BYTES_MAX] {
            let body: Vec<u8> = (0..bytes).map(|at| at as u8).collect();
            let reply = ask(&client, server.local(), purpose, &body).await.unwrap();
            assert!(reply == body, "{purpose:?} {bytes}");
        }
    }
}

#[tokio_real::test(flavor = "multi_thread", crate = "tokio_real")]
async fn ten_thousand_requests_at_once_share_one_connection() {
    let script = Script::new(None);
    let (server, client) = (server(&script).await, client().await);
    let mut requests = JoinSet::new();
    for id in 0..10_000_u64 {
        let (client, to) = (client.clone(), server.local());
        let body = Bytes::copy_from_slice(&id.to_be_bytes());
        requests.spawn(async move {
            let reply = client.request(&to, Purpose::Client, body.clone(), PLENTY).await.unwrap();
            assert_eq!(reply, body);
        });
    }
    assert_eq!(requests.join_all().await.len(), 10_000);
    assert_eq!(script.admitted.load(Ordering::Relaxed), 1);
}

#[tokio_real::test(flavor = "multi_thread", crate = "tokio_real")]
async fn a_request_that_hangs_delays_no_other() {
    let script = Script::new(None);
    let (server, client) = (server(&script).await, client().await);
    let hanging = client.request(&server.local(), Purpose::Raft, Bytes::from_static(HANG), PLENTY);
    let hanging = tokio_real::spawn(hanging);
    script.hanging.acquire().await.unwrap().forget();
    for _ in 0..100 {
        assert_eq!(ask(&client, server.local(), Purpose::Raft, b"x").await.unwrap(), "x");
    }
    assert!(!hanging.is_finished());
}

#[tokio_real::test(flavor = "multi_thread", crate = "tokio_real")]
async fn a_deadline_passes_and_the_stream_goes_on() {
    let script = Script::new(None);
    let (server, client) = (server(&script).await, client().await);
    ask(&client, server.local(), Purpose::Client, b"connect").await.unwrap();
    let body = Bytes::from_static(HANG);
    let late = client.request(&server.local(), Purpose::Client, body, SOON).await.unwrap_err();
    assert!(matches!(late, NetError::Deadline { sent: true, .. }), "{late:?}");
    assert!(late.is_ambiguous());
    assert_eq!(ask(&client, server.local(), Purpose::Client, b"x").await.unwrap(), "x");
    assert_eq!(script.admitted.load(Ordering::Relaxed), 1);
}

#[tokio_real::test(flavor = "multi_thread", crate = "tokio_real")]
async fn a_request_over_the_limit_is_never_sent() {
    let script = Script::new(None);
    let (server, client) = (server(&script).await, client().await);
    let error = ask(&client, server.local(), Purpose::Client, &vec![0; BODY_BYTES_MAX + 1]).await;
    let error = error.unwrap_err();
    assert_eq!(error.to_string(), "request is 8388596 bytes, limit is 8388595");
    assert!(!error.is_ambiguous());
    assert_eq!(script.admitted.load(Ordering::Relaxed), 0);
}

#[tokio_real::test(flavor = "multi_thread", crate = "tokio_real")]
async fn a_handler_that_fails_costs_its_own_reply_alone() {
    let (server, client) = (server(&Script::new(None)).await, client().await);
    for (body, expect) in [(PANIC, Unanswered::HandlerFailed), (HUGE, Unanswered::ReplyTooLarge)] {
        let error = ask(&client, server.local(), Purpose::Client, body).await.unwrap_err();
        assert!(matches!(error, NetError::Unanswered { cause, .. } if cause == expect), "{error}");
        assert!(error.is_ambiguous());
        assert_eq!(ask(&client, server.local(), Purpose::Client, b"x").await.unwrap(), "x");
    }
}

#[tokio_real::test(flavor = "multi_thread", crate = "tokio_real")]
async fn dropped_requests_free_their_places() {
    let script = Script::new(None);
    let (server, client) = (server(&script).await, client().await);
    let to = server.local();
    let ask_soon = || client.request(&to, Purpose::Client, Bytes::from_static(b"x"), SOON);

    let mut requests = JoinSet::new();
    for _ in 0..REQUESTS_IN_FLIGHT_MAX {
        let body = Bytes::from_static(HANG);
        requests.spawn(client.request(&to, Purpose::Client, body, PLENTY));
    }
    let all = REQUESTS_IN_FLIGHT_MAX as u32;
    script.hanging.acquire_many(all).await.unwrap().forget();

    // All places here are taken: one more waits for its turn and does not leave.
    let error = ask_soon().await.unwrap_err();
    assert!(matches!(error, NetError::Deadline { sent: false, .. }), "{error:?}");
    assert!(!error.is_ambiguous());

    // Given up, they make room here. The peer still works on them, so there is no reply yet.
    requests.shutdown().await;
    let error = ask_soon().await.unwrap_err();
    assert!(matches!(error, NetError::Deadline { sent: true, .. }), "{error:?}");

    // Other streams of the same peer never noticed.
    assert_eq!(ask(&client, to, Purpose::Raft, b"x").await.unwrap(), "x");
}
