//! [`Called`]: what a call did, besides its outcome.

use serde::{Deserialize, Serialize};

use crate::function::call::Call;
use crate::function::fault::GuestFault;
use crate::function::functions::CallEnd;
use crate::ids::{Caller, ComponentHash, Fuel};

/// The parts of a call that its outcome does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// The component that the alias pointed to.
    pub component: ComponentHash,
    pub ended: Ended,
    pub fuel: Fuel,
    /// Lines of the log, bounded.
    pub log: Vec<String>,
    /// The call and the owner of the schedule, if a schedule made the call.
    pub scheduled: Option<Box<(Call, Caller)>>,
}

/// The end of a call, without its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    Returned,
    /// With the error case of the function's `result`.
    Aborted,
    Faulted(GuestFault),
}

impl Ended {
    /// Returns the kind of an end; `None` if the call was not started.
    pub(crate) fn of(end: &CallEnd) -> Option<Ended> {
        match end {
            CallEnd::Returned(_) => Some(Ended::Returned),
            CallEnd::Aborted(_) => Some(Ended::Aborted),
            CallEnd::Faulted(fault) => Some(Ended::Faulted(fault.clone())),
            CallEnd::Refused(_) => None,
        }
    }
}
