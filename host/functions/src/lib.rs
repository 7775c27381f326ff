//! aspen-functions
