//! [`FunctionStatistics`]: the figures of one function.
//!
//! Leaves out queries, which are in no log.

use std::mem::discriminant;

use serde::{Deserialize, Serialize};

use crate::function::called::{CallEndKind, CallReport};
use crate::function::fault::GuestFault;
use crate::function::histogram::Histogram;
use crate::ids::ComponentHash;

/// Figures of one function of one component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionStatistics {
    pub component: ComponentHash,
    pub function: String,
    /// Calls that returned.
    pub returned: u64,
    /// Calls that ended with the error case of the function.
    pub aborted: u64,
    /// Calls that failed, by kind: one fault of the kind, and the number of calls.
    pub faulted: Vec<(GuestFault, u64)>,
    /// Fuel of a call.
    pub fuel: Histogram,
    /// Microseconds that apply took for a call, on the node that answers. Of a call across shards:
    /// microseconds of its last run, on the node that ran it.
    pub micros: Histogram,
}

impl FunctionStatistics {
    /// Begins with no call.
    pub fn new(component: ComponentHash, function: String) -> Self {
        let (fuel, micros) = (Histogram::default(), Histogram::default());
        Self { component, function, returned: 0, aborted: 0, faulted: vec![], fuel, micros }
    }

    pub(super) fn count(&mut self, called: &CallReport, micros: u64) {
        match &called.ended {
            CallEndKind::Returned => self.returned += 1,
            CallEndKind::Aborted => self.aborted += 1,
            CallEndKind::Faulted(fault) => self.count_fault(fault, 1),
        }
        self.fuel.count(called.fuel.get());
        self.micros.count(micros);
    }

    fn count_fault(&mut self, fault: &GuestFault, times: u64) {
        let is_same =
            |(known, _): &&mut (GuestFault, u64)| discriminant(known) == discriminant(fault);
        match self.faulted.iter_mut().find(is_same) {
            Some((_, count)) => *count += times,
            None => self.faulted.push((fault.clone(), times)),
        }
    }

    /// Adds the figures of another shard.
    pub fn add(&mut self, other: &Self) {
        self.returned += other.returned;
        self.aborted += other.aborted;
        other.faulted.iter().for_each(|(fault, count)| self.count_fault(fault, *count));
        self.fuel.add(&other.fuel);
        self.micros.add(&other.micros);
    }

    /// Returns the number of all calls.
    pub fn calls(&self) -> u64 {
        self.returned + self.aborted + self.faulted.iter().map(|(_, count)| count).sum::<u64>()
    }
}
