//! The bytes of entries, outcomes and messages: one byte for the form, then postcard.
//!
//! Promises that decoding hostile bytes ends in a typed error: nothing here recurses on the input (typed
//! values have a decoder of their own, `val.rs`), and each length is checked against the bytes that are
//! left. Source of the form: the postcard wire specification, version 1.
//!
//! The golden vectors in `tests/codec.rs` of this crate pin field order and variant numbers. A failing one
//! means that stored logs can no longer be read.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use snafu::{OptionExt, ResultExt, Snafu, ensure};

/// The form of all messages.
const FORM: u8 = 1;

/// The remedy for stored bytes of a form that this program does not read.
pub const FORM_REMEDY: &str = "CHANGELOG.md names the version to go through";

/// The reasons for which bytes cannot be decoded.
#[derive(Debug, Snafu)]
pub enum CodecError {
    /// No bytes.
    #[snafu(display("message is empty"))]
    Empty,
    /// Of a newer program, or not of Aspen.
    #[snafu(display("message has form {form}, this program reads {FORM}"))]
    Form {
        /// The first byte.
        form: u8,
    },
    /// Not a message of this type.
    #[snafu(display("message is malformed"))]
    Malformed { source: postcard::Error },
    /// The bytes go on after the message.
    #[snafu(display("{bytes} bytes follow the message"))]
    Trailing {
        /// The number of bytes that follow.
        bytes: usize,
    },
}

/// Encodes `message`.
pub fn encode<T: Serialize>(message: &T) -> Bytes {
    let mut start = Vec::with_capacity(128);
    start.push(FORM);
    let bytes = postcard::to_extend(message, start);
    Bytes::from(bytes.expect("writing to memory cannot fail, and our types serialize"))
}

/// Decodes the bytes that [`encode`] wrote; every byte must be used.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let (form, body) = bytes.split_first().context(EmptySnafu)?;
    ensure!(*form == FORM, FormSnafu { form: *form });
    let (message, rest) = postcard::take_from_bytes(body).context(MalformedSnafu)?;
    ensure!(rest.is_empty(), TrailingSnafu { bytes: rest.len() });
    Ok(message)
}
