//! Frames of the wire from hostile streams: random, mutated, cut, and with huge announced lengths.
//!
//! Each ends in frames or a typed error, without a panic, however the bytes are portioned, and
//! without memory for what is announced and never comes.

use aspen_net::limits::{FRAME_BYTES_MAX, HELLO_BYTES_MAX, READ_BYTES};
use aspen_net::{Frame, FrameDecoder, FrameError, FrameKind, encode_frames};
use aspen_tests::fuzz::{allocated, mutated};
use bytes::{BufMut, Bytes};
use proptest::prelude::*;

const KINDS: [FrameKind; 5] = [
    FrameKind::Hello,
    FrameKind::Welcome,
    FrameKind::Request,
    FrameKind::Response,
    FrameKind::Failure,
];

/// Some streams as a peer would send them.
fn valid() -> Vec<Vec<u8>> {
    let frame = |(at, kind): (usize, FrameKind)| {
        let body = Bytes::from(vec![at as u8; [1, 0, 40, 300, 1][at]]);
        Frame { id: at as u64, kind, body }
    };
    let frames: Vec<Frame> = KINDS.into_iter().enumerate().map(frame).collect();
    let all = encode_frames(frames.clone()).concat();
    frames.into_iter().map(|frame| encode_frames([frame]).concat()).chain([all]).collect()
}

/// Returns the frames of a stream that arrives in portions, and the error that ends it, if any.
fn decode(bytes: &[u8], portion: usize, limit: usize) -> (Vec<Frame>, Option<FrameError>) {
    let mut decoder = FrameDecoder::new(limit);
    let mut frames = vec![];
    for portion in bytes.chunks(portion) {
        decoder.space().put_slice(portion);
        loop {
            match decoder.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

/// Decodes in several portions; what is promised of every stream is checked here.
fn check(bytes: &[u8], portion: usize) -> Result<(), TestCaseError> {
    for limit in [HELLO_BYTES_MAX, FRAME_BYTES_MAX] {
        let (asked, (frames, error)) = allocated(|| decode(bytes, portion, limit));
        let (whole, whole_error) = decode(bytes, bytes.len().max(1), limit);
        prop_assert_eq!((&frames, &error), (&whole, &whole_error));
        // One block of room per portion at the worst, and a copy of what came.
        let bound = (4 + bytes.len().div_ceil(portion)) * 2 * (READ_BYTES + bytes.len());
        prop_assert!(asked <= bound, "{asked} bytes asked for, {} received", bytes.len());
        let again = encode_frames(frames.clone()).concat();
        prop_assert!(bytes.starts_with(&again), "a frame is what was sent");
        prop_assert!(frames.iter().all(|frame| frame.body.len() < limit));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50_000))]

    #[test]
    fn fuzz_frames_random_streams_end_in_frames_or_errors(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        portion in 1..60usize,
    ) {
        check(&bytes, portion)?;
    }

    #[test]
    fn fuzz_frames_mutated_streams_end_in_frames_or_errors(
        bytes in mutated(valid()),
        portion in 1..60usize,
    ) {
        check(&bytes, portion)?;
    }

    /// Any length word, in front of a good kind and a few bytes.
    #[test]
    fn fuzz_frames_announced_lengths_cost_nothing(
        length in prop_oneof![any::<u32>(), 0..64u32, 8_388_500..8_388_700u32],
        kind in prop::sample::select(KINDS.to_vec()),
        body in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let id = [0; 8];
        let bytes = [&length.to_be_bytes()[..], &id, &[kind as u8], &body].concat();
        check(&bytes, 7)?;
        let (frames, error) = decode(&bytes, 7, FRAME_BYTES_MAX);
        let claimed = length as usize + 4;
        if claimed > FRAME_BYTES_MAX {
            let limit = FRAME_BYTES_MAX;
            prop_assert_eq!(error, Some(FrameError::TooLong { bytes: claimed, limit }));
        } else if claimed < 13 {
            prop_assert_eq!(error, Some(FrameError::TooShort { bytes: claimed }));
        } else if claimed > bytes.len() {
            prop_assert_eq!((frames, error), (vec![], None));
        }
    }
}
