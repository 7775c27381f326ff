//! Typed calls: the parts of the modules that `aspen client-gen` writes.
//!
//! Such a module has a struct for the component with one method for each function, and one Rust type
//! for each type of its WIT. A method takes the arguments and returns a [`Call`]. The program names the
//! key that routes the call, and then awaits, queries or tries it:
//!
//! ```text
//! bank.transfer("ada", "ben", 30).key("ada").await?              once, through the log
//! bank.balance("ada").key("ada").query(stale(age)).await?.value  only reads, without the log
//! bank.transfer("ada", "ben", 30).key("ada").dry_run().await?    what it would do
//! bank.transfer("ada", "ben", 30).key("ada").call_if(reads).await?   if these still hold
//! ```
//!
//! Promises that arguments of a wrong type, or a missing key, do not compile. An error of the function
//! itself is [`TypedCallError::Returned`]. A function that is not the one that the module was made for
//! gives [`TypedCallError::Changed`], no panic.
//! Leaves out writing the modules: the program `aspen` does.

mod convert;
mod error;

mod call;
mod wit;

pub use call::{Call, Component, KeyedCall, TypedDryRun, TypedReply};
pub use convert::{FromPayload, FromVal, IntoPayload, IntoVal, Mismatch};
pub use error::{Change, CheckError, TypedCallError};
#[doc(hidden)]
pub use wit::{case, field, fields, flags, no_payload, payload, unknown};
