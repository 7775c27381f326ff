//! The prices of a call in fuel, but for those of single instructions.
//!
//! A million fuel buys at most about 1 ms of CPU; `aspen-bench attacks` measures it. `wit/aspen.wit`
//! and the documents repeat these numbers, and `tests/tests/numbers.rs` compares them.
//! The fuel that a call has is in `aspen_core::limits`, the price of each instruction in
//! `operators.rs`.

use aspen_core::limits::KEY_BYTES_MAX;

/// Fuel of every host call: measured at 0.2 us, 500 us of CPU per million fuel.
pub const HOST_CALL_FUEL: u64 = 1_000;

/// Fuel per byte that goes into or out of the guest.
pub const BYTE_FUEL: u64 = 4;

/// Fuel of every value, however small, in arguments and results: each element of each list is made
/// one by one, in 0.1 to 0.4 us. Bytes that go the fast way are one value.
pub const VALUE_FUEL: u64 = 400;

/// Fuel per byte of a `list<u8>` among other arguments, or in other results: there each byte is
/// made as a value, in 0.03 us.
pub const SLOW_BYTE_FUEL: u64 = 28;

/// Fuel of starting a scan.
pub const SCAN_FUEL: u64 = 3_000;

/// Fuel of every key that a scan passes.
pub const SCAN_ENTRY_FUEL: u64 = 1_500;

/// Memory of a call without a price: as much as a function in Rust begins with, twice.
pub const FREE_MEMORY_BYTES: usize = 2 << 20;

/// Fuel of each page of 64 KiB beyond. The system clears 4 KiB at the first touch, in up to 2 us, and
/// takes them back when the call ends. No instruction can carry this price, for most instructions
/// touch a page again.
pub const MEMORY_PAGE_FUEL: u64 = 48_000;

/// Fuel of making an instance of a large component. The instance runs no code of its own, and its
/// engine charges nothing for data: one of 38 modules takes up to 1.3 ms.
pub const LARGE_INSTANCE_FUEL: u64 = 1_500_000;

/// Fuel of each segment of a large component, of data or of elements, when an instance is made.
pub const SEGMENT_FUEL: u64 = 100;

/// Fuel of each element of the segments of its tables.
pub const ELEMENT_FUEL: u64 = 40;

/// Bytes of its data for a unit of fuel: copied at 0.1 ns each, where they cannot be mapped.
pub const DATA_BYTES_PER_FUEL: u64 = 8;

const _: () = assert!(BYTE_FUEL * KEY_BYTES_MAX as u64 > HOST_CALL_FUEL);
