//! Real `aspen node` processes on loopback, attacked from outside while clients work on them.
//!
//! Each test starts three nodes as a user would, does one kind of harm, and then demands that all
//! replicas are equal, that what the clients saw is strictly serializable, and that no acknowledged
//! write is lost or done twice. The attacks are drawn from fixed seeds; what the machine makes of
//! their timing is not fixed, so the tests assert only what must hold for every timing.
//!
//! `nodes` has the processes, `relay` the network between them; the rest is one file per attack.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unreachable,
    reason = "a test fails by a panic, also in its helper functions"
)]

mod disk;
mod kills;
mod namespaces;
mod network;
mod nodes;
mod pauses;
mod relay;
