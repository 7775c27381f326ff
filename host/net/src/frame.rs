//! Frames: the form of requests and replies on a stream of bytes.
//!
//! ```text
//! | length u32 | id u64 | kind u8 | body ...        |   big endian; length counts the bytes after it
//! ```
//!
//! A dialling peer sends `Hello` (body: one purpose byte) and gets `Welcome`, or its connection is
//! closed with the reason. Then `Request`s flow one way, a `Response` or `Failure` with the same id
//! back, in any order.
//!
//! Many frames go into one write ([`encode_frames`]) and come out of one read ([`FrameDecoder`]).
//! A body is a slice of the block that it was read into. The decoder takes bytes in any portions. It
//! never allocates much more than it has received, for any length that a header claims.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use snafu::{OptionExt, Snafu, ensure};

use crate::limits::{COALESCE_BYTES_MAX, FRAME_HEADER_BYTES, READ_BYTES};

const LENGTH_BYTES: usize = 4;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Chosen by the asking peer, repeated by the answering one; 0 in hello and welcome.
    pub id: u64,
    /// The meaning of the body.
    pub kind: FrameKind,
    /// The bytes carried.
    pub body: Bytes,
}

/// The content of a frame. The numbers are the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// First frame of the dialling peer; its body is a purpose byte.
    Hello = 1,
    /// First frame of the answering peer; no body. Requests may follow.
    Welcome = 2,
    Request = 3,
    /// The reply to it.
    Response = 4,
    /// No reply will come; the body is a byte with the reason.
    Failure = 5,
}

/// Bytes that are no frames. The stream cannot go on after one.
#[derive(Debug, Snafu, Clone, PartialEq, Eq)]
#[snafu(visibility(pub(crate)))]
pub enum FrameError {
    /// The header claims more than the limit.
    #[snafu(display("frame is {bytes} bytes, limit is {limit}"))]
    TooLong {
        /// Bytes claimed, length word included.
        bytes: usize,
        /// The limit at this point of the stream.
        limit: usize,
    },
    /// The header claims less than a header.
    #[snafu(display("frame is {bytes} bytes, shorter than its header"))]
    TooShort {
        /// Bytes claimed, length word included.
        bytes: usize,
    },
    /// No kind has this number.
    #[snafu(display("frame kind {kind} is unknown"))]
    UnknownKind {
        /// The byte found.
        kind: u8,
    },
    /// The kind exists and does not belong at this place.
    #[snafu(display("frame {kind:?} is out of place"))]
    OutOfPlace {
        /// The kind found.
        kind: FrameKind,
    },
    /// The hello names no purpose, or one that the negotiated protocol does not carry.
    #[snafu(display("hello names no purpose of this protocol"))]
    Purpose,
}

/// Turns a stream of bytes into frames.
#[derive(Debug)]
pub struct FrameDecoder {
    buffer: BytesMut,
    frame_bytes_max: usize,
}

/// Encodes frames for one write: small ones side by side, large bodies as chunks of their own.
pub fn encode_frames(frames: impl IntoIterator<Item = Frame>) -> Vec<Bytes> {
    let mut chunks = Vec::new();
    let mut small = BytesMut::with_capacity(READ_BYTES);
    for frame in frames {
        let length = FRAME_HEADER_BYTES - LENGTH_BYTES + frame.body.len();
        small.put_u32(u32::try_from(length).expect("bodies are checked against BODY_BYTES_MAX"));
        small.put_u64(frame.id);
        small.put_u8(frame.kind as u8);
        if frame.body.len() <= COALESCE_BYTES_MAX {
            small.put(frame.body);
        } else {
            chunks.push(small.split().freeze());
            chunks.push(frame.body);
        }
    }
    if !small.is_empty() {
        chunks.push(small.freeze());
    }
    chunks
}

impl FrameDecoder {
    /// Starts at a frame boundary and accepts frames of up to `frame_bytes_max` bytes.
    pub fn new(frame_bytes_max: usize) -> Self {
        Self { buffer: BytesMut::new(), frame_bytes_max }
    }

    /// Changes the limit for the frames not yet taken out.
    pub fn set_limit(&mut self, frame_bytes_max: usize) {
        self.frame_bytes_max = frame_bytes_max;
    }

    /// Returns the buffer to append the next bytes of the stream to, with some room reserved. The room
    /// doubles with the bytes that arrived of a large frame, so a claim alone costs nothing.
    pub fn space(&mut self) -> &mut BytesMut {
        let claimed = self.length().unwrap_or(0).min(self.frame_bytes_max);
        let missing = claimed.saturating_sub(self.buffer.len());
        let ceiling = self.buffer.len().max(READ_BYTES);
        self.buffer.reserve(missing.clamp(READ_BYTES, ceiling));
        &mut self.buffer
    }

    /// Takes out the next complete frame; `None` until more bytes come.
    #[expect(clippy::should_implement_trait, reason = "fallible, and more bytes may come later")]
    pub fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(bytes) = self.length() else {
            return Ok(None);
        };
        ensure!(bytes >= FRAME_HEADER_BYTES, TooShortSnafu { bytes });
        ensure!(bytes <= self.frame_bytes_max, TooLongSnafu { bytes, limit: self.frame_bytes_max });
        if self.buffer.len() < FRAME_HEADER_BYTES {
            return Ok(None);
        }
        let kind = self.buffer[FRAME_HEADER_BYTES - 1];
        let kind = FrameKind::from_byte(kind).context(UnknownKindSnafu { kind })?;
        if self.buffer.len() < bytes {
            return Ok(None);
        }
        let mut body = self.buffer.split_to(bytes).freeze();
        body.advance(LENGTH_BYTES);
        let id = body.get_u64();
        body.advance(1);
        Ok(Some(Frame { id, kind, body }))
    }

    /// Returns the bytes of the frame at the front, its length word included, once that word arrived.
    fn length(&self) -> Option<usize> {
        let word = self.buffer.first_chunk::<LENGTH_BYTES>()?;
        Some(LENGTH_BYTES + u32::from_be_bytes(*word) as usize)
    }
}

impl FrameKind {
    fn from_byte(byte: u8) -> Option<Self> {
        const KINDS: [FrameKind; 5] = [
            FrameKind::Hello,
            FrameKind::Welcome,
            FrameKind::Request,
            FrameKind::Response,
            FrameKind::Failure,
        ];
        KINDS.into_iter().find(|kind| *kind as u8 == byte)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::FRAME_BYTES_MAX;

    fn frame(id: u64, kind: FrameKind, body: &[u8]) -> Frame {
        Frame { id, kind, body: Bytes::copy_from_slice(body) }
    }

    fn bytes_of(frames: &[Frame]) -> Vec<u8> {
        encode_frames(frames.iter().cloned()).concat()
    }

    /// Feeds `bytes` in portions of `step` and returns the frames.
    fn decode(bytes: &[u8], step: usize) -> Result<Vec<Frame>, FrameError> {
        let mut decoder = FrameDecoder::new(FRAME_BYTES_MAX);
        let mut frames = Vec::new();
        for portion in bytes.chunks(step) {
            decoder.space().put_slice(portion);
            while let Some(frame) = decoder.next()? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    #[test]
    fn bytes_on_the_wire_stay_what_they_are() {
        let bytes = bytes_of(&[
            frame(0, FrameKind::Hello, &[3]),
            frame(0, FrameKind::Welcome, b""),
            frame(0x0102, FrameKind::Request, b"hi"),
            frame(0x0102, FrameKind::Response, b""),
            frame(7, FrameKind::Failure, &[1]),
        ]);
        let mut expect = b"\0\0\0\x0a\0\0\0\0\0\0\0\0\x01\x03".to_vec();
        expect.extend(b"\0\0\0\x09\0\0\0\0\0\0\0\0\x02");
        expect.extend(b"\0\0\0\x0b\0\0\0\0\0\0\x01\x02\x03hi");
        expect.extend(b"\0\0\0\x09\0\0\0\0\0\0\x01\x02\x04");
        expect.extend(b"\0\0\0\x0a\0\0\0\0\0\0\0\x07\x05\x01");
        assert_eq!(bytes, expect);
    }

    #[test]
    fn wrong_headers_are_found_at_once() {
        let check = |bytes: &[u8], expect: &str| {
            assert_eq!(decode(bytes, 1).unwrap_err().to_string(), expect);
        };
        let huge = "frame is 4294967299 bytes, limit is 8388608";
        check(&[0xff; 4], huge);
        check(&8_388_605_u32.to_be_bytes(), "frame is 8388609 bytes, limit is 8388608");
        check(&8_u32.to_be_bytes(), "frame is 12 bytes, shorter than its header");
        check(b"\0\x7f\0\0\0\0\0\0\0\0\0\0\x63", "frame kind 99 is unknown");
    }

    #[test]
    fn a_claim_allocates_nothing() {
        let mut decoder = FrameDecoder::new(FRAME_BYTES_MAX);
        decoder.space().put_slice(b"\0\x7f\xff\xf0\0\0\0\0\0\0\0\0\x03");
        assert_eq!(decoder.next(), Ok(None));
        assert!(decoder.space().capacity() <= 4 * READ_BYTES);
    }

    #[test]
    fn large_bodies_are_not_copied_when_written() {
        let body = Bytes::from(vec![7; COALESCE_BYTES_MAX + 1]);
        let large = Frame { id: 1, kind: FrameKind::Request, body: body.clone() };
        let chunks = encode_frames([frame(0, FrameKind::Request, b"small"), large]);
        assert_eq!(chunks.len(), 2);
        assert_eq!(chunks[1].as_ptr(), body.as_ptr());
    }

    #[test]
    fn the_largest_frame_passes_in_network_portions() {
        let largest = frame(1, FrameKind::Response, &vec![1; FRAME_BYTES_MAX - FRAME_HEADER_BYTES]);
        let frames = [largest, frame(2, FrameKind::Request, b"next")];
        assert!(decode(&bytes_of(&frames), READ_BYTES).unwrap() == frames);
    }

    fn any_frame() -> impl Strategy<Value = Frame> {
        let kind = prop_oneof![
            Just(FrameKind::Request),
            Just(FrameKind::Response),
            Just(FrameKind::Failure)
        ];
        let size = prop_oneof![4 => 0..300_usize, 1 => 0..3 * COALESCE_BYTES_MAX];
        (any::<u64>(), kind, size)
            .prop_map(|(id, kind, size)| frame(id, kind, &vec![id as u8; size]))
    }

    proptest! {
        #[test]
        fn frames_survive_any_portions(
            frames in prop::collection::vec(any_frame(), 0..20),
            step in 1..5_000_usize,
        ) {
            prop_assert_eq!(decode(&bytes_of(&frames), step), Ok(frames));
        }

        #[test]
        fn any_bytes_give_frames_or_an_error(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            step in 1..50_usize,
        ) {
            let whole = decode(&bytes, 200);
            prop_assert_eq!(decode(&bytes, step), whole);
        }
    }
}
