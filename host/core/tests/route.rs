//! Properties of the mapping from keys to shards: even, and moved little when shards are added.
//!
//! Keys are drawn, so each bound is six standard deviations wide: a fair mapping fails one run in
//! some hundred million.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unreachable,
    reason = "a test fails by a panic, also in its helper functions"
)]

use aspen_core::placement::{ShardRouter, tag_hash};
use proptest::prelude::*;

/// Keys of one case.
const KEYS: u32 = 20_000;

/// The number of standard deviations that is too far off.
const DEVIATIONS: f64 = 6.0;

fn keys(prefix: &str) -> impl Iterator<Item = Vec<u8>> {
    (0..KEYS).map(move |n| format!("{prefix}{n}").into_bytes())
}

/// Pearson's chi-squared of these counts against equal ones, as standard deviations of a normal
/// distribution (Wilson and Hilferty, "The Distribution of Chi-Square", 1931).
fn deviation(counts: &[u32]) -> f64 {
    let expected = f64::from(KEYS) / counts.len() as f64;
    let square = |count: &u32| (f64::from(*count) - expected).powi(2) / expected;
    let (chi_squared, freedom) =
        (counts.iter().map(square).sum::<f64>(), counts.len() as f64 - 1.0);
    let spread = 2.0 / (9.0 * freedom);
    ((chi_squared / freedom).cbrt() - (1.0 - spread)) / spread.sqrt()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn keys_spread_evenly(prefix in "[a-z/]{0,12}", shards in 2u16..=256) {
        let router = ShardRouter::new(shards).unwrap();
        let mut counts = vec![0; usize::from(shards)];
        keys(&prefix).for_each(|key| counts[usize::from(router.shard(&key).get())] += 1);
        let deviation = deviation(&counts);
        prop_assert!(deviation < DEVIATIONS, "{deviation} deviations: {counts:?}");
    }

    #[test]
    fn growth_moves_a_fair_share_and_only_to_the_new_shard(
        prefix in "[a-z/]{0,12}",
        shards in 1u16..256,
    ) {
        let (old, new) = (ShardRouter::new(shards).unwrap(), ShardRouter::new(shards + 1).unwrap());
        let mut moved = 0;
        for key in keys(&prefix) {
            if old.shard(&key) != new.shard(&key) {
                prop_assert_eq!(new.shard(&key).get(), shards);
                moved += 1;
            }
        }
        let share = 1.0 / f64::from(shards + 1);
        let (expected, moved) = (f64::from(KEYS) * share, f64::from(moved));
        let deviation = (moved - expected).abs() / (expected * (1.0 - share)).sqrt();
        prop_assert!(deviation < DEVIATIONS, "{moved} moved, about {expected} expected");
    }

    #[test]
    fn tag_alone_decides(tag in "[a-z0-9]{1,20}", rest in ".{0,20}", shards in 1u16..=256) {
        let router = ShardRouter::new(shards).unwrap();
        let tagged = format!("{{{tag}}}{rest}");
        prop_assert_eq!(router.shard(tagged.as_bytes()), router.shard(tag.as_bytes()));
        prop_assert_eq!(tag_hash(tagged.as_bytes()), tag_hash(tag.as_bytes()));
    }
}

/// The measure itself: even counts pass, one shard with twice its share does not.
#[test]
fn deviation_tells_uneven_from_even() {
    let even = vec![KEYS / 8; 8];
    let mut uneven = even.clone();
    (uneven[0], uneven[1]) = (uneven[0] + 1250, uneven[1] - 1250);
    assert!(deviation(&even) < 0.0 && deviation(&uneven) > DEVIATIONS);
}
