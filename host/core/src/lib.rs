//! aspen-core
