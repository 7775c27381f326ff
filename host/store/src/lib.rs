//! aspen-store
