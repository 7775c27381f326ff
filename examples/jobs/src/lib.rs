//! A job queue with leases: enqueue, take for a while, finish. A worker that dies loses the job.
//!
//! Promises that a job is with one worker at a time, that it is available again as soon as its lease
//! ends by the clock of the log, and that only the worker who has it can finish it. A worker that was too
//! slow gets an error, because the number of attempts has gone on. Jobs begin in the order in which they
//! came. A worker may get a job that another worker began: effects outside the store must bear that.
//! The queue is the tag: its keys live on one shard, and every call writes at most three of them.
//! Leaves out retries after a delay, priorities, and a place for jobs that fail again and again: the
//! attempt says how often, and a worker may finish such a job and put it into another queue.

use aspen_guest::keys::{Key, KeyError};
use aspen_guest::{context, store};
use serde::{Deserialize, Serialize};

aspen_guest::function!({ world: "jobs", path: "wit" });

const NAME_BYTES_MAX: usize = 64;
const PAYLOAD_BYTES_MAX: usize = 64 << 10;

/// The value of `{QUEUE} "job" ID`.
#[derive(Serialize, Deserialize)]
struct Job {
    payload: String,
    /// Times that it was taken.
    attempts: u64,
    /// End of the lease of the last time.
    until_ms: u64,
}

/// The keys of one queue.
struct Queue(Key);

struct Jobs;

impl Guest for Jobs {
    fn enqueue(queue: String, payload: String) -> Result<u64, String> {
        let queue = Queue::new(&queue)?;
        let bytes = payload.len();
        if bytes > PAYLOAD_BYTES_MAX {
            return Err(format!("payload is {bytes} bytes, limit is {PAYLOAD_BYTES_MAX}"));
        }
        let last = queue.last_id();
        let id = store::get_u64(&last).unwrap_or(0) + 1;
        store::put_u64(&last, id);
        store::put_as(queue.job(id), &Job { payload, attempts: 0, until_ms: 0 });
        store::put(queue.waiting().part(id), "");
        Ok(id)
    }

    fn take(queue: String, lease_ms: u64) -> Result<Option<Taken>, String> {
        let queue = Queue::new(&queue)?;
        let lapsed = queue.take_lapsed().map_err(text_of)?;
        let next = lapsed.map_or_else(|| queue.take_waiting(), |id| Ok(Some(id)));
        let Some(id) = next.map_err(text_of)? else { return Ok(None) };
        let mut job = queue.find(id)?;
        job.attempts += 1;
        let until_ms = queue.lease(id, &mut job, lease_ms);
        Ok(Some(Taken { id, payload: job.payload, attempt: job.attempts, until_ms }))
    }

    fn extend(queue: String, id: u64, attempt: u64, lease_ms: u64) -> Result<u64, String> {
        let queue = Queue::new(&queue)?;
        let mut job = queue.held(id, attempt)?;
        store::delete(queue.leased(job.until_ms, id));
        Ok(queue.lease(id, &mut job, lease_ms))
    }

    fn finish(queue: String, id: u64, attempt: u64) -> Result<(), String> {
        let queue = Queue::new(&queue)?;
        let job = queue.held(id, attempt)?;
        store::delete(queue.leased(job.until_ms, id));
        store::delete(queue.job(id));
        Ok(())
    }
}

aspen_guest::export!(Jobs);

impl Queue {
    fn new(name: &str) -> Result<Self, String> {
        if name.len() > NAME_BYTES_MAX {
            return Err(format!("a queue's name has at most {NAME_BYTES_MAX} bytes"));
        }
        Key::try_tagged(name).map(Self).map_err(text_of)
    }

    fn last_id(&self) -> Key {
        self.0.clone().part("last-id")
    }

    fn job(&self, id: u64) -> Key {
        self.0.clone().part("job").part(id)
    }

    /// Below it stand the ids of the jobs that nobody has taken.
    fn waiting(&self) -> Key {
        self.0.clone().part("waiting")
    }

    /// Below it stand the jobs that are taken, by the end of their lease: end, id.
    fn all_leased(&self) -> Key {
        self.0.clone().part("leased")
    }

    fn leased(&self, until_ms: u64, id: u64) -> Key {
        self.all_leased().part(until_ms).part(id)
    }

    /// Takes the job whose lease ended first off the list.
    fn take_lapsed(&self) -> Result<Option<u64>, KeyError> {
        let leased = self.all_leased();
        let Some(first) = store::below(&leased).next() else { return Ok(None) };
        let mut parts = leased.parts_below(&first.key)?;
        let (until_ms, id): (u64, u64) = (parts.take()?, parts.only()?);
        if until_ms > context::time_ms() {
            return Ok(None);
        }
        store::delete(&first.key);
        Ok(Some(id))
    }

    /// Takes the oldest waiting job off the list.
    fn take_waiting(&self) -> Result<Option<u64>, KeyError> {
        let waiting = self.waiting();
        let Some(first) = store::below(&waiting).next() else { return Ok(None) };
        store::delete(&first.key);
        waiting.parts_below(&first.key)?.only().map(Some)
    }

    fn find(&self, id: u64) -> Result<Job, String> {
        store::get_as(self.job(id)).ok_or_else(|| format!("no job {id}"))
    }

    /// Returns the job, if this attempt is still its last one. A job whose lease has ended is still held if
    /// no other worker took it since: that does no harm.
    fn held(&self, id: u64, attempt: u64) -> Result<Job, String> {
        let job = self.find(id)?;
        let is_held = attempt > 0 && job.attempts == attempt;
        if is_held { Ok(job) } else { Err(format!("job {id} is at attempt {}", job.attempts)) }
    }

    /// Writes the job with a new lease. Returns the end of the lease.
    fn lease(&self, id: u64, job: &mut Job, lease_ms: u64) -> u64 {
        job.until_ms = context::time_ms().saturating_add(lease_ms);
        store::put_as(self.job(id), job);
        store::put(self.leased(job.until_ms, id), "");
        job.until_ms
    }
}

fn text_of(error: KeyError) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;
    use std::rc::Rc;

    use aspen_guest::testing::{Harness, faults};

    use super::*;

    fn queue_of(payloads: &[&str]) -> Harness {
        let mut shard = Harness::new();
        for payload in payloads {
            shard.call(|| Jobs::enqueue("q".into(), payload.to_string())).unwrap();
        }
        shard
    }

    /// Payload and attempt of the job that is taken for 100 ms.
    fn take(shard: &mut Harness) -> Option<(String, u64)> {
        let taken = shard.call(|| Jobs::take("q".into(), 100)).unwrap();
        taken.map(|taken| (taken.payload, taken.attempt))
    }

    fn finish(shard: &mut Harness, id: u64, attempt: u64) -> Result<(), String> {
        shard.call(|| Jobs::finish("q".into(), id, attempt))
    }

    #[test]
    fn jobs_are_taken_in_order_and_finished() {
        let mut shard = queue_of(&["a", "b"]);
        assert_eq!(take(&mut shard), Some(("a".into(), 1)));
        assert_eq!(take(&mut shard), Some(("b".into(), 1)));
        assert_eq!(take(&mut shard), None);
        assert_eq!(finish(&mut shard, 1, 1), Ok(()));
        assert_eq!(finish(&mut shard, 1, 1), Err("no job 1".into()));
        assert_eq!(finish(&mut shard, 2, 1), Ok(()));
        assert_eq!(shard.scan("").len(), 1, "only the last id is left");
    }

    #[test]
    fn lapsed_lease_makes_a_job_available() {
        let mut shard = queue_of(&["a", "b"]);
        take(&mut shard);
        shard.set_time(99);
        assert_eq!(take(&mut shard), Some(("b".into(), 1)));
        assert_eq!(take(&mut shard), None);
        shard.set_time(100);
        assert_eq!(take(&mut shard), Some(("a".into(), 2)));
        assert_eq!(finish(&mut shard, 1, 1), Err("job 1 is at attempt 2".into()));
        assert_eq!(finish(&mut shard, 1, 2), Ok(()));
    }

    #[test]
    fn extended_lease_lasts() {
        let mut shard = queue_of(&["a"]);
        take(&mut shard);
        let extend = |attempt| move || Jobs::extend("q".into(), 1, attempt, 500);
        assert_eq!(shard.call(extend(1)), Ok(500));
        shard.set_time(499);
        assert_eq!(take(&mut shard), None);
        shard.set_time(600);
        assert_eq!(shard.call(extend(1)), Ok(1100), "nobody took it meanwhile");
        shard.set_time(1100);
        assert_eq!(take(&mut shard), Some(("a".into(), 2)));
        assert_eq!(shard.call(extend(1)), Err("job 1 is at attempt 2".into()));
    }

    #[test]
    fn bad_input_is_refused() {
        let mut shard = queue_of(&["a"]);
        finish(&mut shard, 1, 0).unwrap_err();
        shard.call(|| Jobs::enqueue("".into(), "a".into())).unwrap_err();
        shard.call(|| Jobs::enqueue("q".into(), "a".repeat(65 << 10))).unwrap_err();
        assert_eq!(take(&mut shard), Some(("a".into(), 1)));
    }

    /// Workers that lose replies and leases: each job is finished once, and none is lost.
    #[test]
    fn every_job_is_finished_once_under_faults() {
        faults::check(0..200, |sim| {
            for payload in ["a", "b", "c"] {
                sim.call(|| Jobs::enqueue("q".into(), payload.into())).unwrap();
            }
            let finished = Rc::new(RefCell::new(BTreeSet::new()));
            sim.invariant(|| {
                let queue = Queue::new("q").unwrap();
                let [jobs, waiting, leased] = [
                    store::below(&queue.0.clone().part("job")).count(),
                    store::below(&queue.waiting()).count(),
                    store::below(&queue.all_leased()).count(),
                ];
                assert_eq!(jobs, waiting + leased, "a job is waiting or leased");
            });
            for _ in 0..3 {
                let finished = finished.clone();
                sim.client(|client| async move {
                    for _ in 0..4 {
                        let taken = client.call(|| Jobs::take("q".into(), 1000)).await;
                        let Ok(Some(Taken { id, attempt, .. })) = taken else { continue };
                        let finish = move || Jobs::finish("q".into(), id, attempt);
                        if client.call(finish).await.is_ok() {
                            assert!(finished.borrow_mut().insert(id), "job {id} finished twice");
                        }
                    }
                });
            }
            sim.run();
        });
    }
}
