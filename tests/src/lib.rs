//! aspen-tests
