//! Decoding values; the form is in the header of `val.rs`.
//!
//! Promises that hostile bytes end in an error, in bounded time and memory.

use bytes::Bytes;
use snafu::{OptionExt, ensure};

use crate::limits::{VAL_DEPTH_MAX, VAL_NODES_MAX, VALS_BYTES_MAX};
use crate::val::error::{
    DeepSnafu, FORM, FormSnafu, LargeSnafu, MalformedSnafu, ManySnafu, ShortSnafu, TrailingSnafu,
    ValError,
};
use crate::val::value::Val;

/// Decodes the bytes that [`crate::val::encode_vals`] wrote.
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

    /// Returns a count of items of at least one byte each. The bytes that are left bound it.
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
