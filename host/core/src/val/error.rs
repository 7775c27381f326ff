//! [`ValError`]: the errors of encoding and decoding values, and the number of the form.

use snafu::Snafu;

use crate::limits::{VAL_DEPTH_MAX, VAL_NODES_MAX, VALS_BYTES_MAX};

/// The first byte of encoded values.
pub(super) const FORM: u8 = 1;

/// The errors of decoding and encoding values.
#[derive(Debug, Snafu, PartialEq, Eq)]
#[snafu(visibility(pub(super)))]
pub enum ValError {
    /// The bytes end inside a value.
    #[snafu(display("values are cut short"))]
    Short,
    /// Bytes follow the last value.
    #[snafu(display("{bytes} bytes follow the last value"))]
    Trailing { bytes: usize },
    /// Of a newer version of this form, or not of this form.
    #[snafu(display("values have form {form}, this program reads {FORM}"))]
    Form {
        /// The first byte.
        form: u8,
    },
    /// No such tag, a number too large for its type, a bad character.
    #[snafu(display("values are malformed"))]
    Malformed,
    /// Nested too deep.
    #[snafu(display("values are nested deeper than {VAL_DEPTH_MAX}"))]
    Deep,
    /// Too many values.
    #[snafu(display("more than {VAL_NODES_MAX} values"))]
    Many,
    /// Too many bytes.
    #[snafu(display("values are {bytes} bytes, limit is {VALS_BYTES_MAX}"))]
    Large { bytes: usize },
}
