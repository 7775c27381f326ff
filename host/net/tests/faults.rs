//! Faults of one peer harm no other peer: refusals, death and return, garbage. Real iroh on 127.0.0.1,
//! and raw iroh endpoints for bytes that our own transport never sends.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unreachable,
    reason = "a test fails by a panic, also in its helper functions"
)]

mod peers;

use std::{net::UdpSocket, sync::Arc, time::Duration};

use aspen_net::{
    CloseCode, Frame, FrameKind, IrohTransport, NetError, PeerAddr, PeerId, Purpose, Secret,
    Transport, encode_frames, limits::REASON_BYTES_MAX,
};
use bytes::Bytes;
use iroh::{
    Endpoint, EndpointAddr, EndpointId, RelayMode,
    endpoint::{Connection, presets},
};
use peers::{HANG, LOCALHOST, PLENTY, Script, ask, bind, client, server};
use tokio_real::runtime::Runtime;

async fn echoes(client: &IrohTransport, to: PeerAddr) {
    assert_eq!(ask(client, to, Purpose::Client, b"x").await.unwrap(), "x");
}

#[tokio_real::test(flavor = "multi_thread", crate = "tokio_real")]
async fn refusal_is_per_purpose_and_says_why() {
    let script = Script::new(Some((Purpose::Snapshot, "not a member of this cluster")));
    let (server, client) = (server(&script).await, client().await);
    let error = ask(&client, server.local(), Purpose::Snapshot, b"x").await.unwrap_err();
    let NetError::Refused { peer, reason } = &error else { panic!("{error:?}") };
    assert_eq!((*peer, &reason[..]), (server.local(), "not a member of this cluster"));
    assert!(!error.is_ambiguous());
    assert_eq!(ask(&client, server.local(), Purpose::Raft, b"x").await.unwrap(), "x");
}

#[tokio_real::test(flavor = "multi_thread", crate = "tokio_real")]
async fn a_long_reason_is_cut_at_a_character() {
    let script = Script::new(Some((Purpose::Client, &"éa".repeat(1_000))));
    let (server, client) = (server(&script).await, client().await);
    let error = ask(&client, server.local(), Purpose::Client, b"x").await.unwrap_err();
    let NetError::Refused { reason, .. } = error else { panic!("{error:?}") };
    assert_eq!(reason, "éa".repeat(1_000)[..REASON_BYTES_MAX - 1]);
}

#[tokio_real::test(flavor = "multi_thread", crate = "tokio_real")]
async fn a_peer_that_does_not_serve_is_unreachable_until_it_does() {
    let (server, asker) = (client().await, client().await);
    let error = ask(&asker, server.local(), Purpose::Client, b"x").await.unwrap_err();
    assert!(matches!(error, NetError::Unreachable { .. }), "{error:?}");
    server.serve(Script::new(None));
    echoes(&asker, server.local()).await;
}

#[tokio_real::test(flavor = "multi_thread", crate = "tokio_real")]
async fn silence_fails_at_the_deadline_and_unsent() {
    let silent = UdpSocket::bind(LOCALHOST).unwrap();
    let to = PeerAddr { id: Secret::generate().public(), addr: silent.local_addr().unwrap() };
    let body = Bytes::from_static(b"x");
    let soon = Duration::from_millis(200);
    let error = client().await.request(&to, Purpose::Client, body, soon).await.unwrap_err();
    assert!(matches!(error, NetError::Deadline { sent: false, .. }), "{error:?}");
}

#[tokio_real::test(flavor = "multi_thread", crate = "tokio_real")]
async fn another_identity_at_the_address_is_unreachable() {
    let (server, client) = (server(&Script::new(None)).await, client().await);
    let no_key = PeerId::from_bytes([0xff; 32]);
    for id in [Secret::generate().public(), no_key, client.local().id] {
        let to = PeerAddr { id, ..server.local() };
        let error = ask(&client, to, Purpose::Client, b"x").await.unwrap_err();
        assert!(matches!(error, NetError::Unreachable { .. }), "{error:?}");
    }
    echoes(&client, server.local()).await;
}

#[tokio_real::test(flavor = "multi_thread", crate = "tokio_real")]
async fn a_peer_that_closes_and_comes_back_is_reached_at_once() {
    let (secret, client) = (Secret::generate(), client().await);
    let mut addr = LOCALHOST.parse().unwrap();
    for _ in 0..3 {
        let server = bind(secret.clone(), addr).await.unwrap();
        server.serve(Script::new(None));
        addr = server.local().addr;
        // The first request may still meet the closed link; it is told so and goes again.
        if let Err(error) = ask(&client, server.local(), Purpose::Client, b"x").await {
            assert!(matches!(error, NetError::ConnectionLost { .. }), "{error:?}");
        }
        echoes(&client, server.local()).await;
        server.close().await;
    }
}

/// A runtime that vanishes with the server on it: no goodbye, as after `kill -9`.
#[test]
fn a_peer_that_is_killed_and_comes_back_is_reached() {
    let (secret, runtime) = (Secret::generate(), Runtime::new().unwrap());
    let client = runtime.block_on(client());
    let mut addr = LOCALHOST.parse().unwrap();
    for _ in 0..2 {
        let doomed = Runtime::new().unwrap();
        let server = doomed.block_on(bind(secret.clone(), addr)).unwrap();
        server.serve(Script::new(None));
        addr = server.local().addr;
        runtime.block_on(async {
            while let Err(error) = ask(&client, server.local(), Purpose::Client, b"x").await {
                let lost = matches!(&error, NetError::ConnectionLost { sent: true, .. });
                assert!(lost || matches!(&error, NetError::Unreachable { .. }), "{error:?}");
            }
        });
        drop(doomed);
        drop(server);
    }
}

#[tokio_real::test(flavor = "multi_thread", crate = "tokio_real")]
async fn close_ends_requests_tasks_and_the_socket() {
    let script = Script::new(None);
    let (server, asker) = (server(&script).await, client().await);
    let hang = || asker.request(&server.local(), Purpose::Client, Bytes::from_static(HANG), PLENTY);

    // At the asking end.
    let request = tokio_real::spawn(hang());
    script.hanging.acquire().await.unwrap().forget();
    asker.close().await;
    let error = request.await.unwrap().unwrap_err();
    assert!(matches!(error, NetError::ConnectionLost { sent: true, .. }), "{error:?}");
    assert!(matches!(hang().await, Err(NetError::Closed)));
    UdpSocket::bind(asker.local().addr).unwrap();

    // At the answering end, and everything of the handler's is let go.
    let asker = client().await;
    let body = Bytes::from_static(HANG);
    let request = tokio_real::spawn(asker.request(&server.local(), Purpose::Raft, body, PLENTY));
    script.hanging.acquire().await.unwrap().forget();
    server.close().await;
    let error = request.await.unwrap().unwrap_err();
    assert!(matches!(error, NetError::ConnectionLost { sent: true, .. }), "{error:?}");
    assert_eq!(Arc::strong_count(&script), 1);
    UdpSocket::bind(server.local().addr).unwrap();
    server.close().await;
}

#[tokio_real::test(flavor = "multi_thread", crate = "tokio_real")]
async fn garbage_datagrams_harm_nobody() {
    let (server, client) = (server(&Script::new(None)).await, client().await);
    let socket = UdpSocket::bind(LOCALHOST).unwrap();
    for (round, chunk) in garbage(64 << 10).chunks(997).enumerate() {
        socket.send_to(chunk, server.local().addr).unwrap();
        if round % 16 == 0 {
            echoes(&client, server.local()).await;
        }
    }
    echoes(&client, server.local()).await;
}

#[tokio_real::test(flavor = "multi_thread", crate = "tokio_real")]
async fn an_unknown_protocol_is_refused() {
    let (server, client) = (server(&Script::new(None)).await, client().await);
    let raw = raw(b"other/1").await;
    assert!(raw.connect(iroh_addr(server.local()), b"other/1").await.is_err());
    echoes(&client, server.local()).await;
}

/// Writes `bytes` to a fresh connection, after a hello if `greeted`, and returns how it ends.
async fn end_of(to: PeerAddr, greeted: bool, bytes: &[u8]) -> Option<(CloseCode, String)> {
    let raw = raw(b"none/1").await;
    let connection = raw.connect(iroh_addr(to), Purpose::Client.alpn()).await.unwrap();
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    if greeted {
        send.write_all(b"\0\0\0\x0a\0\0\0\0\0\0\0\0\x01\x03").await.unwrap();
        let mut welcome = [0; 13];
        recv.read_exact(&mut welcome).await.unwrap();
        assert_eq!(welcome, *b"\0\0\0\x09\0\0\0\0\0\0\0\0\x02");
    }
    // The peer may close before it has taken all.
    let _ = send.write_all(bytes).await;
    CloseCode::of(&connection.closed().await)
}

#[tokio_real::test(flavor = "multi_thread", crate = "tokio_real")]
async fn bytes_that_are_no_frames_end_their_own_connection_alone() {
    let (server, client) = (server(&Script::new(None)).await, client().await);
    echoes(&client, server.local()).await;
    let too_long = |bytes: u64, limit| format!("frame is {bytes} bytes, limit is {limit}");
    let wrong_purpose = b"\0\0\0\x0a\0\0\0\0\0\0\0\0\x01\x01";
    for (greeted, bytes, reason) in [
        (false, &[0xff_u8; 64][..], too_long(4_294_967_299, 14)),
        (false, wrong_purpose, "hello names no purpose of this protocol".to_owned()),
        (false, b"\0\0\0\x09\0\0\0\0\0\0\0\0\x03", "frame Request is out of place".to_owned()),
        (true, &[0xff; 64], too_long(4_294_967_299, 8 << 20)),
        (true, b"\0\0\0\x09\0\0\0\0\0\0\0\0\x04", "frame Response is out of place".to_owned()),
        (true, &[0; 64], "frame is 4 bytes, shorter than its header".to_owned()),
    ] {
        let end = end_of(server.local(), greeted, bytes).await;
        assert_eq!(end, Some((CloseCode::Malformed, reason)));
    }
    for greeted in [false, true] {
        let (code, _) = end_of(server.local(), greeted, &garbage(1 << 20)).await.unwrap();
        assert_eq!(code, CloseCode::Malformed);
    }
    // On the connection opened before all that.
    echoes(&client, server.local()).await;
}

#[tokio_real::test(flavor = "multi_thread", crate = "tokio_real")]
async fn a_server_that_sends_garbage_ends_the_request_as_malformed() {
    let raw = raw(Purpose::Client.alpn()).await;
    let id = PeerId::from_bytes(*raw.id().as_bytes());
    let to = PeerAddr { id, addr: raw.bound_sockets()[0] };
    let server = tokio_real::spawn(async move {
        let connection: Connection = raw.accept().await.unwrap().await.unwrap();
        let (mut send, mut recv) = connection.accept_bi().await.unwrap();
        let mut hello = [0; 14];
        recv.read_exact(&mut hello).await.unwrap();
        let welcome = Frame { id: 0, kind: FrameKind::Welcome, body: Bytes::new() };
        send.write_all_chunks(&mut encode_frames([welcome])).await.unwrap();
        let mut request = [0; 14];
        recv.read_exact(&mut request).await.unwrap();
        send.write_all(&[0xff; 64]).await.unwrap();
        CloseCode::of(&connection.closed().await).unwrap().0
    });
    let client = client().await;
    let error = ask(&client, to, Purpose::Client, b"x").await.unwrap_err();
    assert!(matches!(error, NetError::Malformed { sent: true, .. }), "{error:?}");
    assert_eq!(server.await.unwrap(), CloseCode::Malformed);
}

/// Bytes without meaning, the same in every run (xorshift).
fn garbage(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

/// An endpoint that speaks QUIC and TLS and nothing of ours.
async fn raw(alpn: &[u8]) -> Endpoint {
    let builder = Endpoint::builder(presets::Minimal).relay_mode(RelayMode::Disabled);
    let builder = builder.clear_ip_transports().bind_addr(LOCALHOST).unwrap();
    builder.alpns(vec![alpn.to_vec()]).bind().await.unwrap()
}

/// The address of one of ours, as iroh wants it.
fn iroh_addr(peer: PeerAddr) -> EndpointAddr {
    EndpointAddr::new(EndpointId::from_bytes(peer.id.as_bytes()).unwrap()).with_ip_addr(peer.addr)
}
