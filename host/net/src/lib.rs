//! aspen-net
