//! aspen-guest
