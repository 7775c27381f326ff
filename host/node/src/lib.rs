//! aspen-node
