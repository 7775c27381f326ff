//! The messages: commands and outcomes of the log, requests and responses of the network.
//!
//! All of them go through the codec of this crate. Golden vectors in `tests/codec.rs` pin their bytes.

mod command;
mod outcome;
mod request;
mod response;
mod page;
mod info;
mod scan_token;

pub use command::{Command, Entry, Upload, UploadPart};
pub use info::{ClusterInfo, ComponentInfo, LeaseInfo, NodeStatus, ReplicaStatus, ViewInfo};
pub use outcome::Outcome;
pub use page::{Item, Page};
pub use request::{Consistency, Query, Request, ScanRequest};
pub use response::{DryRun, ErrorReply, QueryReply, Response};
pub use scan_token::{ScanToken, ScanTokenError};
