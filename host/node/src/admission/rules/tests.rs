//! The rules of admission control, with time passed in.
//!
//! Each test is one claim about who may run when. Leaves out the waiting itself (`control.rs`).

use super::*;
use crate::limits::{ALONE_PLACES, FUNCTIONS_KNOWN_MAX, HEAVY_REST, HEAVY_REST_MAX};

const SHARD: Executor = Executor::apply(ShardId::new(0));
const OTHER_SHARD: Executor = Executor::apply(ShardId::new(1));
const BACKGROUND: Executor = Executor::background(ShardId::new(0));

/// The time that one call takes.
const T: Duration = Duration::from_millis(60);

struct Node {
    rules: Rules,
    start: Instant,
    now: Duration,
}

impl Node {
    fn new(lanes: usize) -> Node {
        Node { rules: Rules::new(lanes), start: Instant::now(), now: Duration::ZERO }
    }

    fn at(&self) -> Instant {
        self.start + self.now
    }

    fn arrive(&mut self, caller: u8, executor: Executor, function: &str) -> Admission {
        let (component, caller) = ("c".parse().unwrap(), Caller::new([caller; 32]));
        let call = Arrival { caller, executor, component: &component, function };
        self.rules.arrive(self.start + self.now, &call)
    }

    fn ran(&mut self, executor: Executor, function: &str, took: Duration, fuel: u64) -> bool {
        let (component, fuel) = ("c".parse().unwrap(), Some(Fuel::new(fuel)));
        self.rules.note_run(self.at(), executor, (&component, function), took, fuel)
    }

    /// A heavy call that is inside takes `T` and leaves.
    fn run(&mut self, executor: Executor) {
        self.now += T;
        self.ran(executor, "heavy", T, 20_000_000);
        self.rules.leave(executor);
    }

    fn other(&mut self, executor: Executor) {
        let now = self.at();
        self.rules.note_other(now, executor);
    }

    fn admit(&mut self) -> Vec<(QueuePlace, Option<Executor>)> {
        let now = self.at();
        self.rules.admit(now)
    }
}

fn waits(admission: Admission) -> QueuePlace {
    let Admission::Waits(place) = admission else { panic!("{admission:?}") };
    place
}

#[test]
fn heavy_calls_take_their_part_of_the_time_and_no_more() {
    let mut node = Node::new(1);
    node.other(SHARD);
    assert_eq!(node.arrive(1, SHARD, "heavy"), Admission::Inside);
    for _ in 0..8 {
        waits(node.arrive(1, SHARD, "heavy"));
    }
    let (mut inside, mut busy) = (true, Duration::ZERO);
    while node.now < Duration::from_secs(60) && node.rules.waiting.len() > 1 {
        node.other(SHARD);
        if inside {
            node.run(SHARD);
            busy += T;
        } else {
            node.now += Duration::from_millis(5);
        }
        let admitted = node.admit();
        assert!(admitted.len() <= 1, "one at a time");
        inside = !admitted.is_empty();
    }
    let share = busy.as_secs_f64() / node.now.as_secs_f64();
    let bound = 1.0 / f64::from(HEAVY_REST + 1);
    assert!(share <= bound * 1.2 && share >= bound * 0.8, "{share}");
    assert!(busy >= 6 * T);
}

#[test]
fn heavy_function_alone_does_not_wait() {
    let mut node = Node::new(1);
    for _ in 0..20 {
        for _ in 0..ALONE_PLACES {
            assert_eq!(node.arrive(1, SHARD, "heavy"), Admission::Inside);
        }
        (0..ALONE_PLACES).for_each(|_| node.run(SHARD));
    }
    // Somebody came and went: one at a time, but for as long as nobody else comes at once.
    node.other(SHARD);
    node.now += Duration::from_secs(60);
    node.ran(SHARD, "heavy", T, 20_000_000);
    node.other(SHARD);
    node.now += HEAVY_REST * T;
    for _ in 0..5 {
        assert_eq!(node.arrive(1, SHARD, "heavy"), Admission::Inside);
        waits(node.arrive(1, SHARD, "heavy"));
        node.run(SHARD);
        assert_eq!(node.admit().len(), 1);
        node.run(SHARD);
    }
}

#[test]
fn door_opens_when_it_says() {
    let mut node = Node::new(1);
    assert_eq!(node.arrive(1, SHARD, "heavy"), Admission::Inside);
    let place = waits(loop {
        match node.arrive(1, SHARD, "heavy") {
            Admission::Inside => {}
            admission => break admission,
        }
    });
    (0..ALONE_PLACES).for_each(|_| node.run(SHARD));
    node.other(SHARD);
    assert_eq!(node.admit(), []);
    let opens = node.rules.opens(node.at()).unwrap();
    assert_eq!(opens, node.start + T + HEAVY_REST * ALONE_PLACES as u32 * T);
    node.now = opens - node.start - Duration::from_millis(1);
    assert_eq!(node.admit(), []);
    node.now += Duration::from_millis(1);
    assert_eq!(node.admit(), [(place, Some(SHARD))]);
    assert_eq!(node.rules.opens(node.at()), None, "nobody waits");
}

#[test]
fn light_functions_pass_whatever_heavy_ones_do() {
    let mut node = Node::new(1);
    assert_eq!(node.arrive(1, SHARD, "light"), Admission::Inside, "it is not known yet");
    let waiting: Vec<QueuePlace> = (0..200)
        .filter_map(|_| match node.arrive(1, SHARD, "light") {
            Admission::Waits(place) => Some(place),
            _ => None,
        })
        .collect();
    // The first was cheap: all others pass with it.
    assert!(node.ran(SHARD, "light", Duration::from_micros(20), 9_000));
    assert_eq!(node.admit().len(), waiting.len());
    for executor in [SHARD, OTHER_SHARD, BACKGROUND] {
        assert_eq!(node.arrive(1, executor, "light"), Admission::Light);
    }
    // The thread was held up, but the function used little fuel; or it failed at once, for which
    // all fuel is charged.
    node.ran(SHARD, "light", T, 9_000);
    node.ran(SHARD, "light", Duration::from_micros(20), 20_000_000);
    assert_eq!(node.arrive(1, SHARD, "light"), Admission::Light);
}

#[test]
fn function_that_was_expensive_once_is_light_again_after_some_cheap_calls() {
    let mut node = Node::new(1);
    node.ran(SHARD, "light", Duration::from_micros(20), 9_000);
    node.ran(SHARD, "light", T, 20_000_000);
    node.other(SHARD);
    node.now += HEAVY_REST * T;
    let mut calls = 0;
    while node.arrive(1, SHARD, "light") != Admission::Light {
        node.ran(SHARD, "light", Duration::from_micros(20), 9_000);
        node.rules.leave(SHARD);
        calls += 1;
    }
    assert!((1..=6).contains(&calls), "{calls}");
}

#[test]
fn callers_take_turns() {
    let mut node = Node::new(1);
    node.other(SHARD);
    assert_eq!(node.arrive(1, SHARD, "heavy"), Admission::Inside);
    let many: Vec<QueuePlace> = (0..50).map(|_| waits(node.arrive(1, SHARD, "heavy"))).collect();
    let mut order = vec![];
    // The second caller has one call at a time, and each waits for one of the first's.
    let mut second = waits(node.arrive(2, SHARD, "heavy"));
    for _ in 0..6 {
        node.run(SHARD);
        node.now += 2 * HEAVY_REST * T;
        let [(place, Some(SHARD))] = node.admit()[..] else { panic!() };
        order.push(place == second);
        if place == second {
            second = waits(node.arrive(2, SHARD, "heavy"));
        }
        node.other(SHARD);
    }
    assert_eq!(order, [false, true, false, true, false, true]);
    many.into_iter().for_each(|place| node.rules.cancel(place));
    node.rules.cancel(second);
    assert!(node.rules.waiting.is_empty() && node.rules.callers.is_empty());
}

#[test]
fn shards_share_the_lanes_of_the_node() {
    let mut node = Node::new(1);
    node.other(SHARD);
    node.other(OTHER_SHARD);
    assert_eq!(node.arrive(1, SHARD, "heavy"), Admission::Inside);
    let place = waits(node.arrive(1, OTHER_SHARD, "heavy"));
    node.run(SHARD);
    node.other(SHARD);
    assert_eq!(node.admit(), [], "the node rests");
    node.now += HEAVY_REST * T;
    assert_eq!(node.admit(), [(place, Some(OTHER_SHARD))]);

    let mut node = Node::new(2);
    node.other(SHARD);
    node.other(OTHER_SHARD);
    assert_eq!(node.arrive(1, SHARD, "heavy"), Admission::Inside);
    assert_eq!(node.arrive(1, OTHER_SHARD, "heavy"), Admission::Inside);
    waits(node.arrive(1, SHARD, "heavy"));
    waits(node.arrive(1, BACKGROUND, "heavy"));
}

#[test]
fn light_queries_count_on_the_shard_that_they_wait_for() {
    let mut node = Node::new(4);
    node.ran(BACKGROUND, "light", Duration::from_micros(20), 9_000);
    assert_eq!(node.arrive(1, SHARD, "heavy"), Admission::Inside);
    assert_eq!(node.arrive(2, BACKGROUND, "light"), Admission::Light);
    node.run(SHARD);
    waits(node.arrive(1, SHARD, "heavy"));
    node.now += HEAVY_REST * T - Duration::from_millis(1);
    assert_eq!(node.admit(), []);
    node.now += Duration::from_millis(1);
    assert_eq!(node.admit().len(), 1);
}

#[test]
fn calls_that_passed_as_light_are_paid_back() {
    let mut node = Node::new(1);
    node.ran(SHARD, "heavy", Duration::from_micros(20), 9_000);
    (0..10).for_each(|_| assert_eq!(node.arrive(1, SHARD, "heavy"), Admission::Light));
    for _ in 0..10 {
        node.now += T;
        node.ran(SHARD, "heavy", T, 20_000_000);
    }
    waits(node.arrive(1, SHARD, "heavy"));
    let paid = T + 10 * HEAVY_REST * T;
    node.now = paid - Duration::from_millis(1);
    assert_eq!(node.admit(), []);
    node.now = paid;
    assert_eq!(node.admit().len(), 1);
    // But not for ever.
    node.ran(SHARD, "heavy", Duration::from_secs(3_600), 20_000_000);
    assert!(node.rules.node.closed_until.unwrap() <= node.at() + HEAVY_REST_MAX);
}

#[test]
fn what_waits_and_what_is_known_is_bounded() {
    let mut node = Node::new(1);
    node.other(SHARD);
    assert_eq!(node.arrive(0, SHARD, "heavy"), Admission::Inside);
    let calls = (0..2 * WAITING_MAX).map(|n| (n / (2 * WAITING_OF_CALLER_MAX)) as u8);
    let full = calls.filter(|caller| node.arrive(*caller, SHARD, "heavy") == Admission::Full);
    assert_eq!(full.count(), WAITING_MAX);
    assert_eq!(node.arrive(200, SHARD, "heavy"), Admission::Full);
    node.ran(SHARD, "light", Duration::ZERO, 0);
    for n in 0..2 * FUNCTIONS_KNOWN_MAX {
        node.ran(SHARD, &n.to_string(), Duration::ZERO, 0);
        node.ran(SHARD, "light", Duration::ZERO, 0);
    }
    let known = node.rules.costs.functions.values().map(BTreeMap::len);
    assert_eq!(known.sum::<usize>(), FUNCTIONS_KNOWN_MAX);
    assert_eq!(node.arrive(1, SHARD, "light"), Admission::Light, "it is in use");
}
