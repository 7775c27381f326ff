//! The rules of turns, with time passed in.

use super::*;

const SHARD: Place = Place::apply(ShardId::new(0));
const OTHER_SHARD: Place = Place::apply(ShardId::new(1));
const BESIDE: Place = Place::beside(ShardId::new(0));

/// What one call takes.
const T: Duration = Duration::from_millis(60);

struct Node {
    turns: Turns,
    start: Instant,
    now: Duration,
}

impl Node {
    fn new(lanes: usize) -> Node {
        Node { turns: Turns::new(lanes), start: Instant::now(), now: Duration::ZERO }
    }

    fn at(&self) -> Instant {
        self.start + self.now
    }

    fn arrive(&mut self, caller: u8, place: Place, function: &str) -> Turn {
        let (component, caller) = ("c".parse().unwrap(), Caller::new([caller; 32]));
        let run = Run { caller, place, component: &component, function };
        self.turns.arrive(self.start + self.now, &run)
    }

    fn ran(&mut self, place: Place, function: &str, took: Duration, fuel: u64) -> bool {
        let (component, fuel) = ("c".parse().unwrap(), Some(Fuel::new(fuel)));
        self.turns.ran(self.at(), place, (&component, function), took, fuel)
    }

    /// A heavy call that is inside takes `T` and leaves.
    fn run(&mut self, place: Place) {
        self.now += T;
        self.ran(place, "heavy", T, 20_000_000);
        self.turns.leave(place);
    }

    fn other(&mut self, place: Place) {
        let now = self.at();
        self.turns.other(now, place);
    }

    fn admit(&mut self) -> Vec<(Ticket, Option<Place>)> {
        let now = self.at();
        self.turns.admit(now)
    }
}

fn waits(turn: Turn) -> Ticket {
    let Turn::Waits(ticket) = turn else { panic!("{turn:?}") };
    ticket
}

#[test]
fn heavy_calls_take_their_part_of_the_time_and_no_more() {
    let mut node = Node::new(1);
    node.other(SHARD);
    assert_eq!(node.arrive(1, SHARD, "heavy"), Turn::Inside);
    for _ in 0..8 {
        waits(node.arrive(1, SHARD, "heavy"));
    }
    let (mut inside, mut busy) = (true, Duration::ZERO);
    while node.now < Duration::from_secs(60) && node.turns.waiting.len() > 1 {
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
            assert_eq!(node.arrive(1, SHARD, "heavy"), Turn::Inside);
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
        assert_eq!(node.arrive(1, SHARD, "heavy"), Turn::Inside);
        waits(node.arrive(1, SHARD, "heavy"));
        node.run(SHARD);
        assert_eq!(node.admit().len(), 1);
        node.run(SHARD);
    }
}

#[test]
fn door_opens_when_it_says() {
    let mut node = Node::new(1);
    assert_eq!(node.arrive(1, SHARD, "heavy"), Turn::Inside);
    let ticket = waits(loop {
        match node.arrive(1, SHARD, "heavy") {
            Turn::Inside => {}
            turn => break turn,
        }
    });
    (0..ALONE_PLACES).for_each(|_| node.run(SHARD));
    node.other(SHARD);
    assert_eq!(node.admit(), []);
    let opens = node.turns.opens(node.at()).unwrap();
    assert_eq!(opens, node.start + T + HEAVY_REST * ALONE_PLACES as u32 * T);
    node.now = opens - node.start - Duration::from_millis(1);
    assert_eq!(node.admit(), []);
    node.now += Duration::from_millis(1);
    assert_eq!(node.admit(), [(ticket, Some(SHARD))]);
    assert_eq!(node.turns.opens(node.at()), None, "nobody waits");
}

#[test]
fn light_functions_pass_whatever_heavy_ones_do() {
    let mut node = Node::new(1);
    assert_eq!(node.arrive(1, SHARD, "light"), Turn::Inside, "it is not known yet");
    let waiting: Vec<Ticket> = (0..200)
        .filter_map(|_| match node.arrive(1, SHARD, "light") {
            Turn::Waits(ticket) => Some(ticket),
            _ => None,
        })
        .collect();
    // The first was cheap: all others pass with it.
    assert!(node.ran(SHARD, "light", Duration::from_micros(20), 9_000));
    assert_eq!(node.admit().len(), waiting.len());
    for place in [SHARD, OTHER_SHARD, BESIDE] {
        assert_eq!(node.arrive(1, place, "light"), Turn::Light);
    }
    // The thread was held up, but the function used little fuel; or it failed at once, for which
    // all fuel is charged.
    node.ran(SHARD, "light", T, 9_000);
    node.ran(SHARD, "light", Duration::from_micros(20), 20_000_000);
    assert_eq!(node.arrive(1, SHARD, "light"), Turn::Light);
}

#[test]
fn function_that_was_expensive_once_is_light_again_after_some_cheap_calls() {
    let mut node = Node::new(1);
    node.ran(SHARD, "light", Duration::from_micros(20), 9_000);
    node.ran(SHARD, "light", T, 20_000_000);
    node.other(SHARD);
    node.now += HEAVY_REST * T;
    let mut calls = 0;
    while node.arrive(1, SHARD, "light") != Turn::Light {
        node.ran(SHARD, "light", Duration::from_micros(20), 9_000);
        node.turns.leave(SHARD);
        calls += 1;
    }
    assert!((1..=6).contains(&calls), "{calls}");
}

#[test]
fn callers_take_turns() {
    let mut node = Node::new(1);
    node.other(SHARD);
    assert_eq!(node.arrive(1, SHARD, "heavy"), Turn::Inside);
    let many: Vec<Ticket> = (0..50).map(|_| waits(node.arrive(1, SHARD, "heavy"))).collect();
    let mut order = vec![];
    // The second caller has one call at a time, and each waits for one of the first's.
    let mut second = waits(node.arrive(2, SHARD, "heavy"));
    for _ in 0..6 {
        node.run(SHARD);
        node.now += 2 * HEAVY_REST * T;
        let [(ticket, Some(SHARD))] = node.admit()[..] else { panic!() };
        order.push(ticket == second);
        if ticket == second {
            second = waits(node.arrive(2, SHARD, "heavy"));
        }
        node.other(SHARD);
    }
    assert_eq!(order, [false, true, false, true, false, true]);
    many.into_iter().for_each(|ticket| node.turns.cancel(ticket));
    node.turns.cancel(second);
    assert!(node.turns.waiting.is_empty() && node.turns.callers.is_empty());
}

#[test]
fn shards_share_the_lanes_of_the_node() {
    let mut node = Node::new(1);
    node.other(SHARD);
    node.other(OTHER_SHARD);
    assert_eq!(node.arrive(1, SHARD, "heavy"), Turn::Inside);
    let ticket = waits(node.arrive(1, OTHER_SHARD, "heavy"));
    node.run(SHARD);
    node.other(SHARD);
    assert_eq!(node.admit(), [], "the node rests");
    node.now += HEAVY_REST * T;
    assert_eq!(node.admit(), [(ticket, Some(OTHER_SHARD))]);

    let mut node = Node::new(2);
    node.other(SHARD);
    node.other(OTHER_SHARD);
    assert_eq!(node.arrive(1, SHARD, "heavy"), Turn::Inside);
    assert_eq!(node.arrive(1, OTHER_SHARD, "heavy"), Turn::Inside);
    waits(node.arrive(1, SHARD, "heavy"));
    waits(node.arrive(1, BESIDE, "heavy"));
}

#[test]
fn light_queries_count_on_the_shard_that_they_wait_for() {
    let mut node = Node::new(4);
    node.ran(BESIDE, "light", Duration::from_micros(20), 9_000);
    assert_eq!(node.arrive(1, SHARD, "heavy"), Turn::Inside);
    assert_eq!(node.arrive(2, BESIDE, "light"), Turn::Light);
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
    (0..10).for_each(|_| assert_eq!(node.arrive(1, SHARD, "heavy"), Turn::Light));
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
    assert!(node.turns.node.closed_until.unwrap() <= node.at() + HEAVY_REST_MAX);
}

#[test]
fn what_waits_and_what_is_known_is_bounded() {
    let mut node = Node::new(1);
    node.other(SHARD);
    assert_eq!(node.arrive(0, SHARD, "heavy"), Turn::Inside);
    let calls = (0..2 * WAITING_MAX).map(|n| (n / (2 * WAITING_OF_CALLER_MAX)) as u8);
    let full = calls.filter(|caller| node.arrive(*caller, SHARD, "heavy") == Turn::Full);
    assert_eq!(full.count(), WAITING_MAX);
    assert_eq!(node.arrive(200, SHARD, "heavy"), Turn::Full);
    node.ran(SHARD, "light", Duration::ZERO, 0);
    for n in 0..2 * FUNCTIONS_KNOWN_MAX {
        node.ran(SHARD, &n.to_string(), Duration::ZERO, 0);
        node.ran(SHARD, "light", Duration::ZERO, 0);
    }
    let known = node.turns.costs.functions.values().map(BTreeMap::len);
    assert_eq!(known.sum::<usize>(), FUNCTIONS_KNOWN_MAX);
    assert_eq!(node.arrive(1, SHARD, "light"), Turn::Light, "it is in use");
}
