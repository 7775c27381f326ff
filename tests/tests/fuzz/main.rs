//! Hostile bytes: whatever reads what others wrote ends in a value or a typed error.

#![cfg(not(madsim))]

use aspen_tests::fuzz::Counting;

mod codec;
mod components;
mod frames;
mod texts;

#[global_allocator]
static ALLOCATOR: Counting = Counting;
