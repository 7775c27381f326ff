//! A shard in memory, to test functions natively with `cargo test`.
//!
//! Promises the rules of a real call: the function sees its own writes; `Ok` applies them at one new
//! revision with versions as the state machine counts them, `Err` or a panic throws them away; the
//! limits on keys, values and the write set hold (a real call ends where this panics).
//! Leaves out fuel, memory limits and sharding: for those run the component on a node. Lost replies,
//! crashes and many clients are in [`faults`].
//!
//! ```
//! use aspen_guest::{store, testing::Harness};
//!
//! let mut shard = Harness::new().with("name", "ada");
//! let greet = || store::get("name").ok_or("nobody").map(|name| store::put("greeted", name));
//! shard.call(greet).unwrap();
//! assert_eq!(shard.get("greeted"), Some(b"ada".to_vec()));
//! ```

pub use self::harness::Harness;

pub mod faults;
mod harness;
pub(crate) mod host;
mod limits;
mod world;
