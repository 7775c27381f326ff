//! aspen-benches
