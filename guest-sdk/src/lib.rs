//! Write a function of Aspen: a WIT world with typed exports, and Rust that implements it.
//!
//! Promises that the same source runs as WebAssembly inside the state machine and natively in unit
//! tests, where [`testing::Harness`] stands for the shard. In WebAssembly this crate also sets a small
//! allocator that fits a program which lives for one call.
//!
//! Leaves out everything that replicas could see differently: no clock, randomness, files. Keep
//! data in `BTreeMap`: the order of a `HashMap` changes between builds.
//!
//! ```ignore
//! // wit/counter.wit:
//! //   package example:counter;
//! //   world counter { export add: func(name: string, amount: u64) -> result<u64, string>; }
//! use aspen_guest::store;
//!
//! aspen_guest::function!({ world: "counter", path: "wit" });
//!
//! struct Counter;
//!
//! impl Guest for Counter {
//!     fn add(name: String, amount: u64) -> Result<u64, String> {
//!         let sum = store::get_u64(&name).unwrap_or(0).checked_add(amount).ok_or("overflow")?;
//!         store::put_u64(&name, sum);
//!         Ok(sum)
//!     }
//! }
//!
//! aspen_guest::export!(Counter);
//! ```
//!
//! An `Err` throws the call's writes away and goes to the caller. A panic throws them away too, and the
//! caller learns no more than that the function panicked.
//!
//! Rooms, bottom to top; each uses only those above it in this list:
//! - `value`, `record`, `keys`, `prefix`: the data: typed values, records, composite keys
//! - `testing`: a shard in memory, for native tests
//! - `imports`: the host functions: the node's, or those of `testing`
//! - `range`, `store`, `context`: the functions that a function calls
//! - `alloc`: the allocator in WebAssembly

mod value;

mod record;

pub mod keys;

mod prefix;

#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

mod imports;

pub mod range;

pub mod store;

pub mod context;

#[cfg(target_arch = "wasm32")]
mod alloc;

#[doc(hidden)]
pub use wit_bindgen;

/// Reads a WIT world and makes the trait `Guest` with one function per export.
///
/// Takes the options of `wit_bindgen::generate!`; `world` and `path` are usually enough. The world
/// needs only its own exports: the imports of `aspen:function` come with this crate.
#[macro_export]
macro_rules! function {
    ({ $($option:ident : $value:expr),* $(,)? }) => {
        #[allow(missing_docs, reason = "made from WIT, which has the documentation")]
        #[allow(clippy::too_many_arguments, reason = "a record arrives field by field")]
        #[allow(clippy::crate_in_macro_def, reason = "the module is made in the function's crate")]
        mod world {
            $crate::wit_bindgen::generate!({
                $($option: $value,)*
                runtime_path: "aspen_guest::wit_bindgen::rt",
                export_macro_name: "export_wasm",
                pub_export_macro: true,
                default_bindings_module: "crate::world",
            });
        }
        pub use world::*;
    };
}

/// Exports a type that implements `Guest`. A native build only checks that the type does: there an export
/// named `open` would replace that of the C library.
#[macro_export]
macro_rules! export {
    ($function:ident) => {
        #[cfg(target_arch = "wasm32")]
        export_wasm!($function);

        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            const fn implements<T: Guest>() {}
            implements::<$function>()
        };
    };
}
