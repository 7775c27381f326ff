//! The seam between `apply` and whatever runs functions.
//!
//! Two implementations live in this repository: wasmtime (`aspen-functions`) and native code in
//! tests. Promises asked of both: the result depends on nothing but the input and the view, a
//! guest's failure is a [`CallEnd`], and only a failure of this machine is a [`Fault`].

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ids::{Caller, ComponentHash, Fuel, ProfileId, Revision, ShardId, Timestamp};
use crate::outcome::{GuestFault, Refusal};
use crate::route::ShardRouter;
use crate::state::{Fault, View};
use crate::transact::WriteOp;

/// Everything a call depends on besides the view.
#[derive(Clone, Debug)]
pub struct CallInput<'a> {
    /// The component; the view has its bytes.
    pub component: ComponentHash,
    /// The exported function.
    pub function: &'a str,
    /// Encoded arguments.
    pub args: &'a Bytes,
    /// The shard that runs the call, and the map that says which keys are its own.
    pub shard: ShardId,
    /// See `shard`.
    pub router: ShardRouter,
    /// The revision that the call's writes will have.
    pub revision: Revision,
    /// Entry time.
    pub time: Timestamp,
    /// Chance, from the entry.
    pub seed: u64,
    /// Who asked.
    pub caller: Caller,
    /// How it runs.
    pub profile: ProfileId,
}

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallResult {
    /// How it ended.
    pub end: CallEnd,
    /// Fuel used; after a fault all that the call had.
    pub fuel: Fuel,
    /// Its writes, one per key, in order of keys. Empty unless it returned.
    pub writes: Vec<WriteOp>,
    /// Lines it logged, bounded; not replicated.
    pub log: Vec<String>,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallEnd {
    /// With this result (none or one value, encoded).
    Returned(Bytes),
    /// With the error case of its `result` (none or one value, encoded).
    Aborted(Bytes),
    /// It failed.
    Faulted(GuestFault),
    /// It was not started.
    Refused(Refusal),
}

/// Runs functions.
pub trait Functions: Send + Sync {
    /// Runs one call, to its end, on this thread.
    fn call(&self, view: &dyn View, input: &CallInput<'_>) -> Result<CallResult, Fault>;

    /// Whether calls can run so. If not, a replica whose shard does applies nothing.
    fn runs(&self, profile: ProfileId) -> bool;

    /// A component was stored: it may be compiled ahead, on another thread.
    fn prepare(&self, component: &ComponentHash, bytes: &Bytes);
}

/// Knows no component: every call is refused.
pub struct NoFunctions;

impl Functions for NoFunctions {
    fn call(&self, _view: &dyn View, _input: &CallInput<'_>) -> Result<CallResult, Fault> {
        let end = CallEnd::Refused(Refusal::ComponentUnknown);
        Ok(CallResult { end, fuel: Fuel::default(), writes: vec![], log: vec![] })
    }

    fn runs(&self, _profile: ProfileId) -> bool {
        true
    }

    fn prepare(&self, _component: &ComponentHash, _bytes: &Bytes) {}
}
