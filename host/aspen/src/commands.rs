//! The commands, one file for each noun: the arguments of a subcommand stand with its handler.
//!
//! Most handlers take a client, ask, and print. Leaves out the choice of the handler (`cli.rs`).

pub mod connect;
pub mod values;

mod dry_run;
mod serving;
mod upload_bar;

pub mod build;
pub mod calls;
pub mod client_gen;
pub mod cluster;
pub mod compile_check;
pub mod components;
pub mod dev;
pub mod keys;
pub mod leases;
pub mod logs;
pub mod node;
pub mod replay;
pub mod route;
pub mod schedules;
pub mod status;
pub mod txn;
pub mod verify;
