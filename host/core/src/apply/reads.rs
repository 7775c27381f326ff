//! Checking a read set against the present state.
//!
//! Promises that every read that fails is reported, with the present version. The read set is within its
//! limits. Costs one look-up for each key, and one scan for each range, bounded by [`RANGE_READ_KEYS_MAX`].

use crate::defect::{Defect, is_planted};
use crate::ids::Revision;
use crate::key::{Key, KeyRange};
use crate::limits::{CONFLICTS_MAX, RANGE_READ_KEYS_MAX, RESULTS_BYTES_MAX};
use crate::refusal::Refusal;
use crate::state::Resident;
use crate::transaction::{Actual, Compare, ConflictError, Expectation, Read};
use crate::view::{HostError, Record, View};

/// Returns the reads that do not hold, or the refusal of a read set that cannot be checked.
pub fn check(
    view: &(impl View + ?Sized),
    resident: &Resident,
    revision: Revision,
    reads: &[Read],
    return_values: bool,
) -> Result<Result<Vec<ConflictError>, Refusal>, HostError> {
    let room = if return_values { RESULTS_BYTES_MAX } else { 0 };
    let mut conflicts = Conflicts { found: vec![], room };
    if is_planted(Defect::SkipReadValidation) {
        return Ok(Ok(vec![]));
    }
    let mut passed = 0;
    for read in reads {
        match read {
            Read::Key { key, expected } => {
                if let Expectation::UnchangedSince(since) = expected
                    && let Err(refusal) = check_since(resident, revision, *since)
                {
                    return Ok(Err(refusal));
                }
                let record = view.get(key)?;
                if !holds(resident, key, record.as_ref(), expected) {
                    conflicts.add(key, expected.clone(), record);
                }
            }
            Read::Range { range, unchanged_since: since, .. } => {
                if let Err(refusal) = check_since(resident, revision, *since) {
                    return Ok(Err(refusal));
                }
                passed += check_range(view, resident, range, *since, passed, &mut conflicts)?;
                if passed > RANGE_READ_KEYS_MAX {
                    return Ok(Err(Refusal::RangeTooLarge));
                }
            }
        }
    }
    Ok(Ok(conflicts.found))
}

struct Conflicts {
    found: Vec<ConflictError>,
    /// Bytes of records that still fit.
    room: usize,
}

impl Conflicts {
    fn add(&mut self, key: &Key, expected: Expectation, record: Option<Record>) {
        if self.found.len() >= CONFLICTS_MAX {
            return;
        }
        let actual = Actual::of(record.as_ref());
        let bytes = |record: &Record| key.as_bytes().len() + record.value.as_bytes().len();
        let record = record.filter(|record| bytes(record) <= self.room);
        self.room -= record.as_ref().map_or(0, bytes);
        self.found.push(ConflictError { key: key.clone(), expected, actual, record });
    }
}

fn check_since(resident: &Resident, revision: Revision, since: Revision) -> Result<(), Refusal> {
    let oldest = resident.tombstones.horizon();
    if since > revision {
        return Err(Refusal::RevisionInFuture { revision });
    }
    if since < oldest {
        return Err(Refusal::RevisionTooOld { oldest });
    }
    Ok(())
}

fn holds(resident: &Resident, key: &Key, record: Option<&Record>, expected: &Expectation) -> bool {
    let actual = Actual::of(record);
    match expected {
        Expectation::Absent => record.is_none(),
        Expectation::Version(version) => actual.version == *version,
        Expectation::ModRevision(revision) => record.is_some() && actual.mod_revision == *revision,
        Expectation::UnchangedSince(since) => match record {
            Some(record) => record.mod_revision <= *since,
            None => resident.tombstones.removed(key).is_none_or(|removed| removed <= *since),
        },
        Expectation::Compare(compare) => compares(record, compare),
    }
}

fn compares(record: Option<&Record>, compare: &Compare) -> bool {
    let number = |of: fn(&Record) -> u64| record.map_or(0, of);
    match compare {
        Compare::Value(relation, value) => {
            record.is_some_and(|record| relation.holds(record.value.as_bytes(), value.as_bytes()))
        }
        Compare::Version(relation, version) => {
            relation.holds(&number(|record| record.version.get()), &version.get())
        }
        Compare::CreateRevision(relation, revision) => {
            relation.holds(&number(|record| record.create_revision.get()), &revision.get())
        }
        Compare::ModRevision(relation, revision) => {
            relation.holds(&number(|record| record.mod_revision.get()), &revision.get())
        }
        Compare::Lease(relation, lease) => {
            relation.holds(&number(|record| record.lease.get()), &lease.get())
        }
    }
}

/// Reports the keys of `range` that changed after `since`. Returns how many keys it passed, and
/// ends when there are too many of them.
fn check_range(
    view: &(impl View + ?Sized),
    resident: &Resident,
    range: &KeyRange,
    since: Revision,
    passed_before: usize,
    conflicts: &mut Conflicts,
) -> Result<usize, HostError> {
    let mut passed = 0;
    view.scan(range, false, &mut |key, record| {
        passed += 1;
        if record.mod_revision > since {
            let key = Key::new(bytes::Bytes::copy_from_slice(key));
            let key = key.expect("stored keys are within the limit");
            conflicts.add(&key, Expectation::UnchangedSince(since), Some(record));
        }
        passed_before + passed <= RANGE_READ_KEYS_MAX
    })?;
    for (key, removed) in resident.tombstones.range(range) {
        passed += 1;
        if removed > since {
            conflicts.add(key, Expectation::UnchangedSince(since), None);
        }
        if passed_before + passed > RANGE_READ_KEYS_MAX {
            break;
        }
    }
    Ok(passed)
}
