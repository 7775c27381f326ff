//! aspen-client
