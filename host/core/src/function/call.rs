//! [`Call`]: a function call as the log holds it.
//!
//! Leaves out how a call is applied (`apply/call.rs`).

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ids::ComponentRef;
use crate::key::Key;
use crate::limits::VALS_BYTES_MAX;
use crate::refusal::Refusal;
use crate::transaction::{Read, check_read_set};

/// A function call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Decides the shard: the function may touch only keys of the same shard.
    pub key: Key,
    pub component: ComponentRef,
    /// The exported function, in WIT spelling (`record-purchase`).
    pub function: String,
    /// The arguments, as [`crate::val::encode_vals`] writes them.
    pub args: Bytes,
    /// The function runs only if all of these hold.
    pub reads: Vec<Read>,
}

impl Call {
    /// Checks the limits on bytes and reads.
    pub fn check(&self) -> Result<(), Refusal> {
        if self.args.len() > VALS_BYTES_MAX {
            return Err(Refusal::ArgumentsTooLarge { bytes: self.args.len() as u64 });
        }
        check_read_set(&self.reads)
    }
}
