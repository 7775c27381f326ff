//! Schedules in the state alone: when they run, how often, and the state that is left.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unreachable,
    reason = "a test fails by a panic, also in its helper functions"
)]

mod shard;

use aspen_core::function::{Call, CallEndKind, GuestFault};
use aspen_core::ids::{ComponentRef, Name, ShardId, Timestamp, TxnId};
use aspen_core::limits::{
    NAME_BYTES_MAX, SCHEDULE_ARGS_BYTES_MAX, SCHEDULE_EVERY_MS, SCHEDULES_MAX,
};
use aspen_core::protocol::{Command, Outcome};
use aspen_core::refusal::Refusal;
use aspen_core::state::{FirstRun, NewSchedule, Schedule, State};
use aspen_core::transaction::{Expectation, Transact};
use aspen_core::two_phase::Prepare;
use aspen_core::view::View;
use bytes::Bytes;
use shard::{Shard, call, key, read, set};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn new(schedule: &str, function: &str, first: FirstRun, every_ms: Option<u64>) -> NewSchedule {
    let Command::Call(call) = call(function) else { unreachable!() };
    NewSchedule { name: name(schedule), call, first, every_ms }
}

trait Scheduling {
    fn schedule(&mut self, new: NewSchedule) -> Outcome;
    fn tick(&mut self, clock: u64) -> Outcome;
    fn left(&self, it: &str) -> Option<&Schedule>;
    fn runs(&self) -> usize;
}

impl Scheduling for Shard {
    fn schedule(&mut self, new: NewSchedule) -> Outcome {
        self.run(Command::Schedule(new))
    }

    fn tick(&mut self, clock: u64) -> Outcome {
        self.clock = clock;
        self.entry(None, Command::Tick)
    }

    fn left(&self, it: &str) -> Option<&Schedule> {
        self.model.resident().schedules.iter().find(|(known, _)| known.as_str() == it).map(|s| s.1)
    }

    /// Returns the number of times that `append` ran.
    fn runs(&self) -> usize {
        let log = self.model.get(&key("log")).unwrap();
        log.map_or(0, |record| record.value.as_bytes().len())
    }
}

fn refused(outcome: Outcome) -> Refusal {
    let Outcome::Refused(refusal) = outcome else { panic!("{outcome:?}") };
    refusal
}

#[test]
fn schedule_runs_once_at_its_time_and_is_gone() {
    let mut shard = Shard::new();
    let due = Timestamp::new(6_000);
    assert_eq!(
        shard.schedule(new("s", "append", FirstRun::After(5_000), None)),
        Outcome::Scheduled { due }
    );
    assert_eq!(shard.model.resident().next_due(), Some(due));
    assert_eq!(shard.tick(5_999), Outcome::Ticked);
    assert!(matches!(shard.tick(6_000), Outcome::Returned { writes: 1, .. }));
    assert_eq!((shard.runs(), shard.left("s"), shard.model.resident().next_due()), (1, None, None));
    assert_eq!(shard.tick(60_000), Outcome::Ticked);
    assert_eq!(shard.runs(), 1);
}

#[test]
fn schedule_stays_in_step_and_missed_runs_count_as_one() {
    let mut shard = Shard::new();
    shard.schedule(new("s", "append", FirstRun::At(Timestamp::new(10_000)), Some(10_000)));
    let due = |shard: &Shard| shard.left("s").unwrap().due.get();
    shard.tick(10_500);
    assert_eq!((shard.runs(), due(&shard)), (1, 20_000));
    // Three times passed without a leader.
    shard.tick(45_000);
    assert_eq!((shard.runs(), due(&shard)), (2, 50_000));
    assert_eq!(shard.tick(49_999), Outcome::Ticked);
    // A clock that goes back moves no entry time.
    assert_eq!(shard.tick(1_000), Outcome::Ticked);
    shard.tick(50_000);
    let left = shard.left("s").unwrap();
    assert_eq!((shard.runs(), due(&shard), left.runs), (3, 60_000, 3));
    let last = left.last.as_ref().unwrap();
    assert_eq!((last.time, &last.ended), (Timestamp::new(50_000), &Ok(CallEndKind::Returned)));
}

#[test]
fn schedules_run_one_an_entry_in_order_of_time_and_name() {
    let mut shard = Shard::new();
    for (it, at) in [("c", 3_000), ("b", 2_000), ("a", 3_000)] {
        shard.schedule(new(it, "append", FirstRun::At(Timestamp::new(at)), None));
    }
    for left in [&["a", "c"][..], &["c"], &[]] {
        assert!(matches!(shard.tick(9_000), Outcome::Returned { .. }));
        let names = shard.model.resident().schedules.iter().map(|(name, _)| name.to_string());
        assert_eq!(names.collect::<Vec<_>>(), left);
    }
    assert_eq!(shard.tick(9_000), Outcome::Ticked);
    // No other entry runs one.
    shard.schedule(new("d", "append", FirstRun::After(0), None));
    shard.transact(vec![], vec![set("k", "v")]);
    assert_eq!(shard.runs(), 3);
}

#[test]
fn schedule_goes_on_after_a_run_that_failed_and_tells() {
    let mut shard = Shard::new();
    let ends = [
        ("abort", Ok(CallEndKind::Aborted)),
        ("fault", Ok(CallEndKind::Faulted(GuestFault::OutOfFuel))),
        ("missing", Err(Refusal::FunctionUnknown)),
    ];
    for (number, (function, ended)) in ends.into_iter().enumerate() {
        shard.schedule(new(function, function, FirstRun::After(0), Some(1_000)));
        let revision = shard.revision();
        for runs in 1..3 {
            let clock = (10 * number as u64 + runs) * 10_000;
            shard.tick(clock);
            let left = shard.left(function).unwrap();
            assert_eq!((left.runs, &left.last.as_ref().unwrap().ended), (runs, &ended));
        }
        assert_eq!(shard.revision(), revision, "a failed run writes nothing");
        shard.run(Command::Unschedule { name: name(function) });
    }
    // Once means once, also if it failed.
    shard.schedule(new("once", "fault", FirstRun::After(0), None));
    assert!(matches!(shard.tick(1_000_000), Outcome::Faulted { .. }));
    assert_eq!(shard.left("once"), None);
}

#[test]
fn schedule_is_replaced_by_name_and_ended() {
    let mut shard = Shard::new();
    shard.schedule(new("s", "append", FirstRun::After(1_000), Some(1_000)));
    shard.tick(2_000);
    let outcome = shard.schedule(new("s", "abort", FirstRun::After(7_000), None));
    assert_eq!(outcome, Outcome::Scheduled { due: Timestamp::new(9_000) });
    let left = shard.left("s").unwrap();
    assert_eq!((left.runs, &left.last, &*left.call.function), (0, &None, "abort"));
    assert_eq!(shard.tick(8_000), Outcome::Ticked);
    for existed in [true, false] {
        let outcome = shard.run(Command::Unschedule { name: name("s") });
        assert_eq!(outcome, Outcome::Unscheduled { existed });
    }
    assert_eq!(shard.tick(60_000), Outcome::Ticked);
    assert_eq!(shard.runs(), 1);
}

#[test]
fn schedule_waits_for_locked_keys_and_runs_once() {
    let mut shard = Shard::new();
    shard.schedule(new("s", "append", FirstRun::After(0), Some(1_000)));
    let txn = TxnId { begun: Timestamp::new(1_000), coordinator: ShardId::new(0), nonce: 1 };
    let part = Transact::writes(vec![set("log", "y")]);
    let prepared = shard.entry(None, Command::Prepare(Prepare { txn, part }));
    assert!(matches!(prepared, Outcome::Prepared(_)), "{prepared:?}");
    for _ in 0..2 {
        assert_eq!(refused(shard.tick(2_000)), Refusal::Locked { by: txn });
    }
    assert_eq!(shard.left("s").unwrap().runs, 0);
    // Given up: the lock goes with an abort.
    let decision = aspen_core::two_phase::Decision::Abort;
    let answer = aspen_core::two_phase::CommitReply::Results(vec![]);
    shard.entry(None, Command::Decide(aspen_core::two_phase::Decide { txn, decision, answer }));
    assert!(matches!(shard.tick(2_000), Outcome::Returned { .. }));
    assert_eq!((shard.runs(), shard.left("s").unwrap().runs), (1, 1));
}

#[test]
fn schedule_outside_of_its_limits_is_refused() {
    let mut shard = Shard::new();
    let good = || new("s", "append", FirstRun::After(1_000), Some(1_000));
    let of_call = |change: &dyn Fn(&mut Call)| {
        let mut new = good();
        change(&mut new.call);
        new
    };
    for every_ms in [0, SCHEDULE_EVERY_MS.start() - 1, SCHEDULE_EVERY_MS.end() + 1, u64::MAX] {
        let new = NewSchedule { every_ms: Some(every_ms), ..good() };
        assert_eq!(refused(shard.schedule(new)), Refusal::IntervalOutOfRange { every_ms });
    }
    let long = of_call(&|call| call.args = Bytes::from(vec![0; SCHEDULE_ARGS_BYTES_MAX + 1]));
    assert!(matches!(refused(shard.schedule(long)), Refusal::ArgumentsTooLarge { .. }));
    let long = of_call(&|call| call.function = "f".repeat(NAME_BYTES_MAX + 1));
    assert_eq!(refused(shard.schedule(long)), Refusal::FunctionUnknown);
    let reads = of_call(&|call| call.reads = vec![read("k", Expectation::Absent)]);
    assert_eq!(refused(shard.schedule(reads)), Refusal::ScheduleWithReads);
    let unknown = of_call(&|call| call.component = ComponentRef::Name(name("other")));
    assert_eq!(refused(shard.schedule(unknown)), Refusal::ComponentUnknown);
    for number in 0..SCHEDULES_MAX {
        let outcome = shard.schedule(NewSchedule { name: name(&format!("s-{number}")), ..good() });
        assert!(matches!(outcome, Outcome::Scheduled { .. }));
    }
    assert_eq!(refused(shard.schedule(good())), Refusal::TooManySchedules);
    let replaced = shard.schedule(NewSchedule { name: name("s-7"), ..good() });
    assert!(matches!(replaced, Outcome::Scheduled { .. }));
    let mut two = Shard::of(2);
    let foreign = (0..).map(|n| key(&format!("k{n}")));
    let foreign = foreign.into_iter().find(|key| two.router.shard(key.as_bytes()).get() == 1);
    let far = of_call(&|call| call.key = foreign.clone().unwrap());
    assert_eq!(refused(two.schedule(far)), Refusal::WrongShard { shard: ShardId::new(1) });
}

#[test]
fn request_to_schedule_that_is_repeated_changes_nothing() {
    let mut shard = Shard::new();
    let request = shard.next();
    let new = new("s", "append", FirstRun::After(1_000), None);
    let first = shard.entry(request, Command::Schedule(new.clone()));
    assert!(matches!(shard.tick(2_000), Outcome::Returned { .. }));
    assert_eq!(shard.entry(request, Command::Schedule(new)), first);
    assert_eq!(shard.tick(9_000), Outcome::Ticked);
    assert_eq!(shard.runs(), 1);
}
