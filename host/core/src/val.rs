//! Typed values of the component model, and their compact binary form.
//!
//! Arguments and results travel in this form through the network and the log. Promises that
//! decoding hostile bytes is safe: depth, number of values and total size are checked while
//! decoding, and no memory is taken on the word of a length. Pinned by golden vectors.
//!
//! Form: one version byte (1), LEB128 count, then the values; each is a tag byte and its payload.
//! Integers are LEB128 (signed ones zigzag), floats their IEEE bits as 4 or 8 bytes little endian,
//! strings and byte lists a LEB128 length and the bytes.
//! Leaves out types: a value does not say which record it is; see [`crate::Type`].

use bytes::{BufMut, Bytes, BytesMut};
use snafu::{OptionExt, Snafu, ensure};

use crate::limits::{VAL_DEPTH_MAX, VAL_NODES_MAX, VALS_BYTES_MAX};

const FORM: u8 = 1;

/// A value. Floats are kept as their bits, so that equality and hashing are exact.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Val {
    /// `bool`
    Bool(bool),
    /// `s8`
    S8(i8),
    /// `u8`
    U8(u8),
    /// `s16`
    S16(i16),
    /// `u16`
    U16(u16),
    /// `s32`
    S32(i32),
    /// `u32`
    U32(u32),
    /// `s64`
    S64(i64),
    /// `u64`
    U64(u64),
    /// `f32`, as bits
    F32(u32),
    /// `f64`, as bits
    F64(u64),
    /// `char`
    Char(char),
    /// `string`
    String(String),
    /// `list<u8>`, in one piece
    Bytes(Bytes),
    /// Any other list
    List(Vec<Val>),
    /// `record`: names and values in declared order
    Record(Vec<(String, Val)>),
    /// `tuple`
    Tuple(Vec<Val>),
    /// `variant`: the case and its payload
    Variant(String, Option<Box<Val>>),
    /// `enum`: the case
    Enum(String),
    /// `option`
    Option(Option<Box<Val>>),
    /// `result`
    Result(Result<Option<Box<Val>>, Option<Box<Val>>>),
    /// `flags`: those that are set, in declared order
    Flags(Vec<String>),
}

impl From<&str> for Val {
    fn from(text: &str) -> Val {
        Val::String(text.into())
    }
}

impl From<String> for Val {
    fn from(text: String) -> Val {
        Val::String(text)
    }
}

impl From<u64> for Val {
    fn from(number: u64) -> Val {
        Val::U64(number)
    }
}

impl From<u32> for Val {
    fn from(number: u32) -> Val {
        Val::U32(number)
    }
}

impl From<i64> for Val {
    fn from(number: i64) -> Val {
        Val::S64(number)
    }
}

impl From<bool> for Val {
    fn from(truth: bool) -> Val {
        Val::Bool(truth)
    }
}

/// Why bytes are no values, or values are too many to encode.
#[derive(Debug, Snafu, PartialEq, Eq)]
pub enum ValError {
    /// The bytes end inside a value.
    #[snafu(display("values are cut short"))]
    Short,
    /// Bytes follow the last value.
    #[snafu(display("{bytes} bytes follow the last value"))]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// Written by a newer version of this form, or not by it at all.
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
    Large {
        /// How many.
        bytes: usize,
    },
}

/// Encodes values: the arguments of a call, or its result.
pub fn encode_vals(vals: &[Val]) -> Result<Bytes, ValError> {
    let mut out = Encoder { out: BytesMut::with_capacity(64), nodes: 0 };
    out.out.put_u8(FORM);
    out.many(vals.iter(), 0)?;
    let bytes = out.out.len();
    ensure!(bytes <= VALS_BYTES_MAX, LargeSnafu { bytes });
    Ok(out.out.freeze())
}

/// Decodes what [`encode_vals`] wrote.
pub fn decode_vals(bytes: &Bytes) -> Result<Vec<Val>, ValError> {
    ensure!(bytes.len() <= VALS_BYTES_MAX, LargeSnafu { bytes: bytes.len() });
    let mut from = Decoder { bytes, at: 0, nodes: 0 };
    let form = from.byte()?;
    ensure!(form == FORM, FormSnafu { form });
    let vals = from.many(0)?;
    let left = bytes.len() - from.at;
    ensure!(left == 0, TrailingSnafu { bytes: left });
    Ok(vals)
}

struct Encoder {
    out: BytesMut,
    nodes: usize,
}

impl Encoder {
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.out.put_u8(number as u8 | 0x80);
            number >>= 7;
        }
        self.out.put_u8(number as u8);
    }

    fn signed(&mut self, tag: u8, number: i64) {
        self.out.put_u8(tag);
        self.number(((number << 1) ^ (number >> 63)) as u64);
    }

    fn unsigned(&mut self, tag: u8, number: u64) {
        self.out.put_u8(tag);
        self.number(number);
    }

    fn text(&mut self, text: &[u8]) -> Result<(), ValError> {
        ensure!(text.len() <= VALS_BYTES_MAX, LargeSnafu { bytes: text.len() });
        self.number(text.len() as u64);
        self.out.put_slice(text);
        ensure!(self.out.len() <= 2 * VALS_BYTES_MAX, LargeSnafu { bytes: self.out.len() });
        Ok(())
    }

    fn many<'a>(
        &mut self,
        vals: impl ExactSizeIterator<Item = &'a Val>,
        depth: usize,
    ) -> Result<(), ValError> {
        self.number(vals.len() as u64);
        vals.into_iter().try_for_each(|val| self.val(val, depth))
    }

    fn maybe(&mut self, val: &Option<Box<Val>>, depth: usize) -> Result<(), ValError> {
        self.out.put_u8(u8::from(val.is_some()));
        val.iter().try_for_each(|val| self.val(val, depth))
    }

    fn names(&mut self, tag: u8, names: &[String]) -> Result<(), ValError> {
        self.unsigned(tag, names.len() as u64);
        names.iter().try_for_each(|name| self.text(name.as_bytes()))
    }

    fn val(&mut self, val: &Val, depth: usize) -> Result<(), ValError> {
        ensure!(depth < VAL_DEPTH_MAX, DeepSnafu);
        self.nodes += 1;
        ensure!(self.nodes <= VAL_NODES_MAX, ManySnafu);
        let inner = depth + 1;
        match val {
            Val::Bool(truth) => self.unsigned(1, u64::from(*truth)),
            Val::S8(number) => self.signed(2, i64::from(*number)),
            Val::U8(number) => self.unsigned(3, u64::from(*number)),
            Val::S16(number) => self.signed(4, i64::from(*number)),
            Val::U16(number) => self.unsigned(5, u64::from(*number)),
            Val::S32(number) => self.signed(6, i64::from(*number)),
            Val::U32(number) => self.unsigned(7, u64::from(*number)),
            Val::S64(number) => self.signed(8, *number),
            Val::U64(number) => self.unsigned(9, *number),
            Val::F32(bits) => {
                self.out.put_u8(10);
                self.out.put_u32_le(*bits);
            }
            Val::F64(bits) => {
                self.out.put_u8(11);
                self.out.put_u64_le(*bits);
            }
            Val::Char(char) => self.unsigned(12, u64::from(u32::from(*char))),
            Val::String(text) => {
                self.out.put_u8(13);
                self.text(text.as_bytes())?;
            }
            Val::Bytes(bytes) => {
                self.out.put_u8(14);
                self.text(bytes)?;
            }
            Val::List(vals) => {
                self.out.put_u8(15);
                self.many(vals.iter(), inner)?;
            }
            Val::Record(fields) => {
                self.unsigned(16, fields.len() as u64);
                for (name, val) in fields {
                    self.text(name.as_bytes())?;
                    self.val(val, inner)?;
                }
            }
            Val::Tuple(vals) => {
                self.out.put_u8(17);
                self.many(vals.iter(), inner)?;
            }
            Val::Variant(case, payload) => {
                self.out.put_u8(18);
                self.text(case.as_bytes())?;
                self.maybe(payload, inner)?;
            }
            Val::Enum(case) => {
                self.out.put_u8(19);
                self.text(case.as_bytes())?;
            }
            Val::Option(val) => {
                self.out.put_u8(20);
                self.maybe(val, inner)?;
            }
            Val::Result(result) => {
                self.unsigned(21, u64::from(result.is_ok()));
                let (Ok(payload) | Err(payload)) = result;
                self.maybe(payload, inner)?;
            }
            Val::Flags(flags) => self.names(22, flags)?,
        }
        Ok(())
    }
}

struct Decoder<'a> {
    bytes: &'a Bytes,
    at: usize,
    nodes: usize,
}

impl Decoder<'_> {
    fn byte(&mut self) -> Result<u8, ValError> {
        let byte = *self.bytes.get(self.at).context(ShortSnafu)?;
        self.at += 1;
        Ok(byte)
    }

    fn take(&mut self, bytes: usize) -> Result<Bytes, ValError> {
        ensure!(bytes <= self.bytes.len() - self.at, ShortSnafu);
        let taken = self.bytes.slice(self.at..self.at + bytes);
        self.at += bytes;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64, ValError> {
        let (mut number, mut shift) = (0u64, 0);
        loop {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit; a last byte of zero would be a second spelling.
            ensure!(shift < 63 || part <= 1, MalformedSnafu);
            number |= part << shift;
            if byte & 0x80 == 0 {
                ensure!(byte != 0 || shift == 0, MalformedSnafu);
                return Ok(number);
            }
            shift += 7;
            ensure!(shift <= 63, MalformedSnafu);
        }
    }

    fn unsigned<T: TryFrom<u64>>(&mut self) -> Result<T, ValError> {
        T::try_from(self.number()?).ok().context(MalformedSnafu)
    }

    fn signed<T: TryFrom<i64>>(&mut self) -> Result<T, ValError> {
        let number = self.number()?;
        let number = (number >> 1) as i64 ^ -((number & 1) as i64);
        T::try_from(number).ok().context(MalformedSnafu)
    }

    fn flag(&mut self) -> Result<bool, ValError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => MalformedSnafu.fail(),
        }
    }

    fn text(&mut self) -> Result<String, ValError> {
        let bytes = self.unsigned()?;
        let bytes = self.take(bytes)?;
        String::from_utf8(bytes.into()).ok().context(MalformedSnafu)
    }

    /// A count of things that take at least one byte each, so it is bounded by what is there.
    fn count(&mut self) -> Result<usize, ValError> {
        let count: usize = self.unsigned()?;
        ensure!(count <= self.bytes.len() - self.at, ShortSnafu);
        ensure!(count <= VAL_NODES_MAX, ManySnafu);
        Ok(count)
    }

    fn many(&mut self, depth: usize) -> Result<Vec<Val>, ValError> {
        (0..self.count()?).map(|_| self.val(depth)).collect()
    }

    fn maybe(&mut self, depth: usize) -> Result<Option<Box<Val>>, ValError> {
        Ok(if self.flag()? { Some(Box::new(self.val(depth)?)) } else { None })
    }

    fn val(&mut self, depth: usize) -> Result<Val, ValError> {
        ensure!(depth < VAL_DEPTH_MAX, DeepSnafu);
        self.nodes += 1;
        ensure!(self.nodes <= VAL_NODES_MAX, ManySnafu);
        let inner = depth + 1;
        Ok(match self.byte()? {
            1 => Val::Bool(self.flag()?),
            2 => Val::S8(self.signed()?),
            3 => Val::U8(self.unsigned()?),
            4 => Val::S16(self.signed()?),
            5 => Val::U16(self.unsigned()?),
            6 => Val::S32(self.signed()?),
            7 => Val::U32(self.unsigned()?),
            8 => Val::S64(self.signed()?),
            9 => Val::U64(self.unsigned()?),
            10 => {
                let bytes = self.take(4)?;
                Val::F32(u32::from_le_bytes(bytes[..].try_into().expect("four bytes")))
            }
            11 => {
                let bytes = self.take(8)?;
                Val::F64(u64::from_le_bytes(bytes[..].try_into().expect("eight bytes")))
            }
            12 => Val::Char(char::from_u32(self.unsigned()?).context(MalformedSnafu)?),
            13 => Val::String(self.text()?),
            14 => {
                let bytes = self.unsigned()?;
                Val::Bytes(self.take(bytes)?)
            }
            15 => Val::List(self.many(inner)?),
            16 => {
                let field = |from: &mut Self| Ok((from.text()?, from.val(inner)?));
                Val::Record((0..self.count()?).map(|_| field(self)).collect::<Result<_, _>>()?)
            }
            17 => Val::Tuple(self.many(inner)?),
            18 => Val::Variant(self.text()?, self.maybe(inner)?),
            19 => Val::Enum(self.text()?),
            20 => Val::Option(self.maybe(inner)?),
            21 => {
                let ok = self.flag()?;
                let payload = self.maybe(inner)?;
                Val::Result(if ok { Ok(payload) } else { Err(payload) })
            }
            22 => Val::Flags((0..self.count()?).map(|_| self.text()).collect::<Result<_, _>>()?),
            _ => return MalformedSnafu.fail(),
        })
    }
}
