//! [`CallReport`]: the account of a call, besides its outcome.

use serde::{Deserialize, Serialize};

use crate::function::call::Call;
use crate::function::fault::GuestFault;
use crate::function::functions::CallEnd;
use crate::ids::{Caller, ComponentHash, Fuel};

/// The parts of a call that its outcome does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallReport {
    /// The component that the alias pointed to.
    pub component: ComponentHash,
    pub ended: CallEndKind,
    pub fuel: Fuel,
    /// Lines of the log, bounded.
    pub log: Vec<String>,
    /// The call and the owner of the schedule, if a schedule made the call.
    pub scheduled: Option<Box<(Call, Caller)>>,
}

/// The end of a call, without its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallEndKind {
    Returned,
    /// With the error case of the function's `result`.
    Aborted,
    Faulted(GuestFault),
}

impl CallEndKind {
    /// Returns the kind of an end; `None` if the call was not started.
    pub(crate) fn of(end: &CallEnd) -> Option<CallEndKind> {
        match end {
            CallEnd::Returned(_) => Some(CallEndKind::Returned),
            CallEnd::Aborted(_) => Some(CallEndKind::Aborted),
            CallEnd::Faulted(fault) => Some(CallEndKind::Faulted(fault.clone())),
            CallEnd::Refused(_) => None,
        }
    }
}
