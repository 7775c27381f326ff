//! purchases
