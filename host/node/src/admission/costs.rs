//! The cost of functions: which are light and which are heavy.
//!
//! Promises bounded memory: of [`FUNCTIONS_KNOWN_MAX`] functions, those called last, the cost is
//! known.

use std::collections::BTreeMap;
use std::time::Duration;

use aspen_core::ids::ComponentRef;

use crate::limits::{FUNCTIONS_KNOWN_MAX, HEAVY_TIME};

/// The time that calls of each function took lately, by the function's name as clients give it.
#[derive(Default)]
pub struct Costs {
    pub functions: BTreeMap<ComponentRef, BTreeMap<String, Cost>>,
    count: usize,
    uses: u64,
}

pub struct Cost {
    /// The longest time lately: each cheap call halves it.
    took: Duration,
    /// The number of the last call, counted over all functions.
    used: u64,
}

impl Costs {
    /// Returns true if calls of the function are known to be cheap.
    pub fn is_light(&self, component: &ComponentRef, function: &str) -> bool {
        let known = self.functions.get(component).and_then(|of| of.get(function));
        known.is_some_and(|cost| cost.took < HEAVY_TIME)
    }

    /// Notes a call; returns true if the function is light now and was not before.
    pub fn note(&mut self, component: &ComponentRef, function: &str, took: Duration) -> bool {
        self.uses += 1;
        let used = self.uses;
        let known = self.functions.get_mut(component).and_then(|of| of.get_mut(function));
        if let Some(cost) = known {
            let was_light = cost.took < HEAVY_TIME;
            *cost = Cost { took: took.max(cost.took / 2), used };
            return !was_light && cost.took < HEAVY_TIME;
        }
        if self.count >= FUNCTIONS_KNOWN_MAX {
            self.forget_one();
        }
        self.count += 1;
        let of = self.functions.entry(component.clone()).or_default();
        of.insert(function.to_string(), Cost { took, used });
        took < HEAVY_TIME
    }

    /// Forgets the function that was not called for longest.
    fn forget_one(&mut self) {
        let all = self.functions.iter().flat_map(|(component, of)| {
            of.iter().map(move |(function, cost)| (cost.used, component, function))
        });
        let Some((_, component, function)) = all.min() else { return };
        let (component, function) = (component.clone(), function.clone());
        if let Some(of) = self.functions.get_mut(&component) {
            of.remove(&function);
            if of.is_empty() {
                self.functions.remove(&component);
            }
        }
        self.count -= 1;
    }
}
