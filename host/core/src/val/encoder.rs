//! Encoding values; the form is in the header of `val.rs`.

use bytes::{BufMut, Bytes, BytesMut};
use snafu::ensure;

use crate::limits::{VAL_DEPTH_MAX, VAL_NODES_MAX, VALS_BYTES_MAX};
use crate::val::error::{DeepSnafu, FORM, LargeSnafu, ManySnafu, ValError};
use crate::val::value::Val;

/// Encodes values: the arguments of a call, or its result.
pub fn encode_vals(vals: &[Val]) -> Result<Bytes, ValError> {
    let mut out = Encoder { out: BytesMut::with_capacity(64), nodes: 0 };
    out.out.put_u8(FORM);
    out.many(vals.iter(), 0)?;
    let bytes = out.out.len();
    ensure!(bytes <= VALS_BYTES_MAX, LargeSnafu { bytes });
    Ok(out.out.freeze())
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
