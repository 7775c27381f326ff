//! [`Histogram`]: how often values of each size were counted, in bounded memory.

use serde::{Deserialize, Serialize};

/// A count of values by size, exact to a quarter of the value: four buckets for each power of two,
/// as HdrHistogram (hdrhistogram.org) has them with one significant digit less.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// The buckets; those beyond the last are empty. The first four are 0 to 3; the others begin at
    /// `(4 + n % 4) << (n / 4 - 1)`.
    counts: Vec<u64>,
    sum: u64,
}

impl Histogram {
    /// Counts a value.
    pub fn count(&mut self, value: u64) {
        let bucket = match value.checked_ilog2() {
            None | Some(0 | 1) => value as usize,
            Some(power) => 4 * (power as usize - 1) + (value >> (power - 2)) as usize % 4,
        };
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.sum = self.sum.saturating_add(value);
    }

    /// Adds the counts of another histogram.
    pub fn add(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(here, there)| *here += there);
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// Returns the number of values counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the mean, rounded down; 0 without values.
    pub fn mean(&self) -> u64 {
        self.sum.checked_div(self.total()).unwrap_or(0)
    }

    /// Returns the smallest end of a bucket that at least this share of all values does not exceed;
    /// 0 without values. `permille` is 0 to 1,000.
    pub fn quantile(&self, permille: u64) -> u64 {
        let wanted = (self.total() * permille).div_ceil(1000);
        let mut seen = 0;
        let at = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted && seen > 0
        });
        match at {
            None => 0,
            Some(bucket @ 0..4) => bucket as u64,
            Some(bucket) => {
                let (power, step) = (bucket as u32 / 4 - 1, bucket as u64 % 4);
                (5 + step).checked_shl(power).map_or(u64::MAX, |end| end.wrapping_sub(1))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histogram_knows_a_value_to_a_quarter() {
        for value in (0..2_000).chain([1 << 40, u64::MAX - 1, u64::MAX]) {
            let mut seen = Histogram::default();
            seen.count(value);
            let found = seen.quantile(500);
            assert!(found >= value && found - value <= value / 4, "{value}: {found}");
            assert_eq!((seen.total(), seen.mean()), (1, value));
        }
    }

    #[test]
    fn quantile_is_of_all_that_were_counted() {
        let mut seen = Histogram::default();
        assert_eq!((seen.quantile(990), seen.mean()), (0, 0));
        (0..90).for_each(|_| seen.count(2));
        let mut slow = Histogram::default();
        (0..10).for_each(|_| slow.count(1_000));
        seen.add(&slow);
        let found = [0, 500, 900, 901, 1_000].map(|permille| seen.quantile(permille));
        assert_eq!(found, [2, 2, 2, 1_023, 1_023]);
        assert_eq!((seen.total(), seen.mean()), (100, 101));
    }
}
