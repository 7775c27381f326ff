//! Real clusters over iroh, in this process: a module for each thing that they promise.
//!
//! One program, because each that links a node takes a minute of building. Clusters of processes, which can
//! be killed, are in `host/aspen/tests`.

#![cfg(not(madsim))]

mod across;
mod admission_control;
mod divergence;
mod history;
mod key_value_store;
mod logs;
mod members;
mod names;
mod placement;
mod query;
mod replay;
mod scan;
mod schedules;
mod shards;
mod storage;
mod transactions;
mod typed;
mod upload;
mod verify;
