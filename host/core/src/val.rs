//! Typed values of the component model, and their compact binary form.
//!
//! Arguments and results travel in this form through the network and the log. Promises that
//! decoding hostile bytes is safe: depth, number of values and total size are checked while
//! decoding, and no memory is reserved for a length before its bytes are there. Pinned by golden vectors.
//!
//! Form: one version byte (1), LEB128 count, then the values; each is a tag byte and its payload.
//! Integers are LEB128 (signed ones zigzag), floats their IEEE bits as 4 or 8 bytes little endian,
//! strings and byte lists a LEB128 length and the bytes.
//! Leaves out types: a value does not name its record type; see [`crate::function::Type`].

mod value;
mod error;
mod encoder;
mod decoder;

pub use decoder::decode_vals;
pub use encoder::encode_vals;
pub use error::ValError;
pub use value::Val;
