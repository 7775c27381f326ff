//! The parts of the `aspen` program that tests use too.
//!
//! The program itself is `main.rs`. Leaves out everything that the other crates offer already.

pub mod build;
