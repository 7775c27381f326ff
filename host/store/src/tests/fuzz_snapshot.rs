//! Snapshots whose pieces are changed, missing, repeated, cut or out of order on their way.
//!
//! A transfer ends in the whole file, byte for byte, or in a typed error; then nothing of it is
//! left and the state is unchanged.

use std::fs;

use openraft::storage::{RaftSnapshotBuilder, RaftStateMachine};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;

use super::{apply, open_state, put, run, value};
use crate::{SnapshotFile, StateReader, StoreError};

const CHUNK_BYTES: usize = 4_000;

/// A fault of the pieces of one transfer.
#[derive(Clone, Debug)]
enum Harm {
    Flip(Index, Index, u8),
    Miss(Index),
    Repeat(Index),
    Swap(Index, Index),
    /// A piece loses its end, and those behind it move up or stay where they were.
    Cut(Index, Index, bool),
    Longer(Index, Vec<u8>),
    End(Index),
    Offset(Index, u64),
    Announce(Announce),
}

/// The announcement of the whole before the first piece.
#[derive(Clone, Debug)]
enum Announce {
    Checksum(Index),
    Bytes(u64),
}

/// Length and checksum as announced, and pieces with their offsets.
type Transfer = (u64, [u8; 32], Vec<(u64, Vec<u8>)>);

fn harm() -> impl Strategy<Value = Harm> {
    let at = any::<Index>;
    let bytes = prop_oneof![any::<u64>(), 0..100_000u64, Just(u64::MAX), Just(0)];
    prop_oneof![
        (at(), at(), 0..8u8).prop_map(|(piece, at, bit)| Harm::Flip(piece, at, bit)),
        at().prop_map(Harm::Miss),
        at().prop_map(Harm::Repeat),
        (at(), at()).prop_map(|(one, other)| Harm::Swap(one, other)),
        (at(), at(), any::<bool>()).prop_map(|(piece, at, moves)| Harm::Cut(piece, at, moves)),
        (at(), prop::collection::vec(any::<u8>(), 1..20))
            .prop_map(|(piece, more)| Harm::Longer(piece, more)),
        at().prop_map(Harm::End),
        (at(), bytes.clone()).prop_map(|(piece, offset)| Harm::Offset(piece, offset)),
        at().prop_map(|at| Harm::Announce(Announce::Checksum(at))),
        bytes.prop_map(|bytes| Harm::Announce(Announce::Bytes(bytes))),
    ]
}

fn transfer(file: &SnapshotFile) -> Transfer {
    let piece = |offset| (offset, file.read_chunk(offset, CHUNK_BYTES).unwrap().to_vec());
    (file.bytes, file.checksum, (0..file.bytes).step_by(CHUNK_BYTES).map(piece).collect())
}

impl Harm {
    fn apply(&self, (bytes, checksum, pieces): &mut Transfer) {
        let count = pieces.len();
        match self {
            Harm::Announce(Announce::Checksum(at)) => checksum[at.index(32)] ^= 1,
            Harm::Announce(Announce::Bytes(other)) => *bytes = *other,
            _ if count == 0 => {}
            Harm::Flip(piece, at, bit) => {
                let data = &mut pieces[piece.index(count)].1;
                if !data.is_empty() {
                    let at = at.index(data.len());
                    data[at] ^= 1 << bit;
                }
            }
            Harm::Miss(piece) => drop(pieces.remove(piece.index(count))),
            Harm::Repeat(piece) => {
                let at = piece.index(count);
                pieces.insert(at, pieces[at].clone());
            }
            Harm::Swap(one, other) => pieces.swap(one.index(count), other.index(count)),
            Harm::Cut(piece, at, moves) => {
                let cut = piece.index(count);
                let before = pieces[cut].1.len();
                pieces[cut].1.truncate(at.index(before + 1));
                let missing = (before - pieces[cut].1.len()) as u64;
                for (offset, _) in pieces[cut + 1..].iter_mut().filter(|_| *moves) {
                    *offset = offset.saturating_sub(missing);
                }
            }
            Harm::Longer(piece, more) => pieces[piece.index(count)].1.extend(more),
            Harm::End(piece) => pieces.truncate(piece.index(count)),
            Harm::Offset(piece, offset) => pieces[piece.index(count)].0 = *offset,
        }
    }
}

/// Receives it all, as a node does.
async fn receive(
    reader: &StateReader,
    (bytes, checksum, pieces): &Transfer,
) -> Result<SnapshotFile, StoreError> {
    let mut receiver = reader.receive_snapshot(*bytes, *checksum)?;
    for (offset, data) in pieces {
        receiver.write(*offset, data)?;
    }
    receiver.finish().await
}

#[test]
fn storage_fuzz_snapshot_arrives_whole_or_not_at_all() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(async {
        let (mut leader, _leader_reader) = open_state(from.path());
        let entry = |index| put(index, None, &format!("k{index:04}"), "value of some length");
        apply(&mut leader, (1..=300).map(entry).collect()).await.unwrap();
        let built = leader.get_snapshot_builder().await.build_snapshot().await.unwrap();
        let whole = transfer(&built.snapshot);
        let content = fs::read(&built.snapshot.path).unwrap();
        assert!(whole.2.len() > 4, "there are several pieces");
        let (mut follower, reader) = open_state(to.path());
        apply(&mut follower, vec![put(1, None, "old", "x")]).await.unwrap();
        let status = reader.status().header;

        let harms = prop::collection::vec(harm(), 1..=3);
        let mut runner = TestRunner::new(ProptestConfig::with_cases(2_000));
        let one = |harms: Vec<Harm>| {
            let mut harmed = whole.clone();
            harms.iter().for_each(|harm| harm.apply(&mut harmed));
            match futures::executor::block_on(receive(&reader, &harmed)) {
                Ok(file) => {
                    prop_assert_eq!(&fs::read(&file.path).unwrap(), &content);
                    fs::remove_file(&file.path).unwrap();
                }
                Err(error) => {
                    prop_assert!(matches!(error, StoreError::SnapshotDamaged { .. }), "{error}");
                }
            }
            let left = fs::read_dir(to.path().join("s0")).unwrap().flatten();
            let mut names = left.map(|file| file.file_name().to_string_lossy().into_owned());
            prop_assert!(!names.any(|name| name.starts_with("incoming-")), "nothing is left");
            Ok(())
        };
        runner.run(&harms, one).unwrap();
        assert_eq!((value(&reader, "old").as_deref(), value(&reader, "k0001")), (Some("x"), None));
        assert_eq!(reader.status().header, status);
        // A snapshot that arrives unharmed is installed.
        let file = receive(&reader, &whole).await.unwrap();
        follower.install_snapshot(&built.meta, file).await.unwrap();
        assert_eq!(value(&reader, "k0300").as_deref(), Some("value of some length"));
    });
}
