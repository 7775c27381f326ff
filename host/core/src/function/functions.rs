//! [`Functions`]: the seam between `apply` and the runtime of functions.
//!
//! Five implementations live in this repository: wasmtime (`aspen-functions`), a recorder for replays
//! (`aspen-node`), [`NoFunctions`], and native code in the tests of this crate and in the golden scripts
//! (`tests/src/script`). Each must promise that the result depends only on the input and the view, that a
//! guest's failure is a [`CallEnd`], and that only a failure of this machine is a [`HostError`].

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::function::fault::GuestFault;
use crate::ids::{Caller, ComponentHash, Fuel, ProfileId, Revision, ShardId, Timestamp};
use crate::placement::ShardRouter;
use crate::refusal::Refusal;
use crate::transaction::WriteOp;
use crate::view::{HostError, View};

/// Everything that a call depends on besides the view.
#[derive(Clone, Debug)]
pub struct CallInput<'a> {
    /// The component; the view has its bytes.
    pub component: ComponentHash,
    pub function: &'a str,
    pub args: &'a Bytes,
    /// The shard that runs the call. With `router` it decides which keys the call may touch.
    pub shard: ShardId,
    pub router: ShardRouter,
    /// The revision of the call's writes.
    pub revision: Revision,
    /// Entry time.
    pub time: Timestamp,
    /// A random number from the entry.
    pub seed: u64,
    /// The client that sent the request.
    pub caller: Caller,
    /// The settings with which the function runs.
    pub profile: ProfileId,
}

/// The result of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallResult {
    pub end: CallEnd,
    /// Fuel used; after a fault all fuel of the call.
    pub fuel: Fuel,
    /// The writes, one per key, in order of keys. Empty unless the call returned.
    pub writes: Vec<WriteOp>,
    /// Lines of the log, bounded; not replicated.
    pub log: Vec<String>,
}

/// The end of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallEnd {
    /// With this result (none or one value, encoded).
    Returned(Bytes),
    /// With the error case of the function's `result` (none or one value, encoded).
    Aborted(Bytes),
    Faulted(GuestFault),
    /// The call was not started.
    Refused(Refusal),
}

/// Runs functions.
pub trait Functions: Send + Sync {
    /// Runs one call, to its end, on this thread.
    fn call(&self, view: &dyn View, input: &CallInput<'_>) -> Result<CallResult, HostError>;

    /// True if this program knows the profile. If not, a replica whose shard uses it applies
    /// nothing.
    fn runs(&self, profile: ProfileId) -> bool;

    /// Tells that a component was stored, so that it may be compiled ahead on another thread.
    fn prepare(&self, component: &ComponentHash, bytes: &Bytes);
}

/// Knows no component and refuses every call.
pub struct NoFunctions;

impl Functions for NoFunctions {
    fn call(&self, _view: &dyn View, _input: &CallInput<'_>) -> Result<CallResult, HostError> {
        let end = CallEnd::Refused(Refusal::ComponentUnknown);
        Ok(CallResult { end, fuel: Fuel::default(), writes: vec![], log: vec![] })
    }

    fn runs(&self, _profile: ProfileId) -> bool {
        true
    }

    fn prepare(&self, _component: &ComponentHash, _bytes: &Bytes) {}
}
