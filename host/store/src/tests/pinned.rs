//! Claims about pinned views: they do not change while the state below them does, and
//! their gates hold apply back.

use aspen_core::key::KeyRange;
use aspen_core::state::Header;
use aspen_core::view::{HostError, View};
use futures::FutureExt;
use openraft::storage::{RaftSnapshotBuilder, RaftStateMachine};

use super::snapshot::send;
use super::{apply, close_state, open_bounded, open_state, put, run, value};
use crate::types::RaftEntry;
use crate::{Gate, PinnedView, StateReader};

fn puts(range: std::ops::RangeInclusive<u64>) -> Vec<RaftEntry> {
    range.map(|index| put(index, None, &format!("k{}", index % 40), &index.to_string())).collect()
}

async fn pin(reader: &StateReader) -> (PinnedView, Gate) {
    let pinned = reader.pin(|resident| (!resident.locks.is_free()).then_some(()));
    pinned.await.unwrap().expect("nothing is locked")
}

/// Every value, and the revision.
fn all(view: &PinnedView) -> (Vec<u64>, u64) {
    let read = |view: &dyn View, header: Header| -> Result<(Vec<u64>, u64), HostError> {
        let mut values = vec![];
        view.scan(&KeyRange::all(), false, &mut |_, record| {
            values.push(String::from_utf8_lossy(record.value.as_bytes()).parse().unwrap());
            true
        })?;
        values.sort();
        Ok((values, header.revision.get()))
    };
    view.read(read).unwrap()
}

#[test]
fn storage_pinned_views_stay_while_batches_flushes_and_a_snapshot_come() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(async {
        // With a bound of one byte a flush always runs.
        let (mut machine, reader) = open_bounded(dir.path(), 1);
        let mut views = vec![];
        for end in (40..=400).step_by(40) {
            apply(&mut machine, puts(end - 39..=end)).await.unwrap();
            if end % 80 == 0 {
                machine.flush().await.unwrap();
            }
            views.push((end, pin(&reader).await.0));
        }
        let check = |views: &[(u64, PinnedView)]| {
            for (end, view) in views {
                assert_eq!(all(view), ((end - 39..=*end).collect(), *end));
            }
        };
        check(&views);
        // A snapshot takes the place of the file.
        let (mut ahead, ahead_reader) = open_state(other.path());
        apply(&mut ahead, puts(1..=1000)).await.unwrap();
        let mut builder = ahead.get_snapshot_builder().await;
        let built = builder.build_snapshot().await.unwrap();
        let file = send(&built.snapshot, &reader, |_, _| {}).unwrap().finish().await.unwrap();
        machine.install_snapshot(&built.meta, file).await.unwrap();
        apply(&mut machine, puts(1001..=1040)).await.unwrap();
        assert_eq!(value(&reader, "k1").as_deref(), Some("1001"));
        check(&views);
        drop(views);
        close_state(machine, reader).await;
        drop(builder);
        close_state(ahead, ahead_reader).await;
    });
}

#[test]
fn storage_gate_of_a_pinned_view_holds_apply_back() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let (mut machine, reader) = open_state(dir.path());
        apply(&mut machine, puts(1..=40)).await.unwrap();
        let (view, gate) = pin(&reader).await;
        let before = reader.status();
        {
            let mut next = Box::pin(apply(&mut machine, puts(41..=80)));
            for _ in 0..20 {
                assert!((&mut next).now_or_never().is_none(), "the gate is closed");
                tokio::task::yield_now().await;
            }
            assert_eq!(reader.status(), before);
            drop(gate);
            next.await.unwrap();
        }
        assert_eq!(value(&reader, "k1").as_deref(), Some("41"));
        assert_eq!(all(&view), ((1..=40).collect(), 40));
        // A refusal keeps no gate, nor does a caller that does not wait for the answer.
        assert_eq!(reader.pin(|_| Some("locked")).await.unwrap().err(), Some("locked"));
        drop(reader.pin(|_| None::<()>).now_or_never());
        apply(&mut machine, puts(81..=120)).await.unwrap();
        drop(view);
        close_state(machine, reader).await;
    });
}
