//! Typed calls: what the modules that `aspen client-gen` writes are made of.
//!
//! Such a module has a struct for the component with one method for each function, and one Rust type
//! for each type of its WIT. A method takes the arguments and gives a [`Call`]; the key that routes
//! it is named next, and then it is awaited, queried or tried:
//!
//! ```text
//! bank.transfer("ada", "ben", 30).key("ada").await?              once, through the log
//! bank.balance("ada").key("ada").query(stale(age)).await?.value  only reads, without the log
//! bank.transfer("ada", "ben", 30).key("ada").dry_run().await?    what it would do
//! bank.transfer("ada", "ben", 30).key("ada").call_if(reads).await?   if these still hold
//! ```
//!
//! Promises that arguments of a wrong type, or no key, do not compile; that an error says whether the
//! function returned it ([`TypedCallError::Returned`]) or did not get that far; and that a function
//! which is not the one that the module was made for gives [`TypedCallError::Changed`], no panic.
//! Leaves out writing the modules: that is the program `aspen`.

mod call;
mod convert;
mod error;
mod wit;

pub use call::{Call, Component, KeyedCall, Reply, TypedDryRun};
pub use convert::{FromPayload, FromVal, IntoPayload, IntoVal, Mismatch};
pub use error::{Change, CheckError, TypedCallError};
#[doc(hidden)]
pub use wit::{case, field, fields, flags, no_payload, payload, unknown};
