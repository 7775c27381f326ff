//! The checker of histories, on histories by hand, at random, and against the definition.

#![cfg(not(madsim))]

mod random;
mod search;
mod verdicts;
