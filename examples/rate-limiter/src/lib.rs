//! A rate limiter: token buckets that fill with the time of the log.
//!
//! Promises that in any time `t` a bucket gives at most `capacity + per_second * t` tokens, to all callers
//! together, and that it computes exactly: it counts thousandths of a token, for one token per second is a
//! thousandth per millisecond. A refused request writes nothing.
//! The bucket's name is the tag of its one key. Entry time never goes back, so a bucket never loses tokens.
//! Leaves out buckets that are no longer used: they stay until somebody deletes them.

use aspen_guest::keys::Key;
use aspen_guest::{context, store};
use serde::{Deserialize, Serialize};

aspen_guest::function!({ world: "rate-limiter", path: "wit" });

const NAME_BYTES_MAX: usize = 64;
/// Parts of a token that are counted.
const TOKEN: u64 = 1000;

/// The value of `{BUCKET} "bucket"`.
#[derive(Clone, Serialize, Deserialize)]
struct Bucket {
    capacity: u32,
    per_second: u32,
    /// Thousandths of a token at `at_ms`.
    level: u64,
    at_ms: u64,
}

struct RateLimiter;

impl Guest for RateLimiter {
    fn configure(bucket: String, capacity: u32, per_second: u32) -> Result<(), String> {
        let key = key(&bucket)?;
        if capacity == 0 {
            return Err("a bucket holds at least one token".into());
        }
        let full = u64::from(capacity) * TOKEN;
        let level = match store::get_as::<Bucket>(&key) {
            Some(before) => before.level_now().min(full),
            None => full,
        };
        let at_ms = context::time_ms();
        store::put_as(&key, &Bucket { capacity, per_second, level, at_ms });
        Ok(())
    }

    fn take(bucket: String, tokens: u32) -> Result<Verdict, String> {
        let key = key(&bucket)?;
        let mut bucket = find(&key)?;
        let verdict = bucket.take(tokens)?;
        if verdict.allowed {
            store::put_as(&key, &bucket);
        }
        Ok(verdict)
    }

    fn peek(bucket: String, tokens: u32) -> Result<Verdict, String> {
        find(&key(&bucket)?)?.take(tokens)
    }
}

aspen_guest::export!(RateLimiter);

fn key(bucket: &str) -> Result<Key, String> {
    if bucket.len() > NAME_BYTES_MAX {
        return Err(format!("a name has at most {NAME_BYTES_MAX} bytes"));
    }
    let tagged = Key::try_tagged(bucket).map_err(|error| error.to_string())?;
    Ok(tagged.part("bucket"))
}

fn find(key: &Key) -> Result<Bucket, String> {
    store::get_as(key).ok_or_else(|| "no such bucket: configure it first".into())
}

impl Bucket {
    /// Returns the present level, in thousandths of a token. Nothing overflows: a rate of 2^32 fills any
    /// bucket long before a u64 is full, so the sum is cut at the capacity either way.
    fn level_now(&self) -> u64 {
        let gained = (context::time_ms() - self.at_ms).saturating_mul(self.per_second.into());
        self.level.saturating_add(gained).min(u64::from(self.capacity) * TOKEN)
    }

    /// Takes tokens if the bucket has them.
    fn take(&mut self, tokens: u32) -> Result<Verdict, String> {
        if tokens > self.capacity {
            return Err(format!("{tokens} tokens wanted, the bucket holds {}", self.capacity));
        }
        let (has, wanted) = (self.level_now(), u64::from(tokens) * TOKEN);
        let Some(level) = has.checked_sub(wanted) else {
            let lacks = wanted - has;
            let retry_after_ms = match self.per_second {
                0 => u64::MAX,
                rate => lacks.div_ceil(rate.into()),
            };
            return Ok(Verdict { allowed: false, left: has / TOKEN, retry_after_ms });
        };
        (self.level, self.at_ms) = (level, context::time_ms());
        Ok(Verdict { allowed: true, left: level / TOKEN, retry_after_ms: 0 })
    }
}

#[cfg(test)]
mod tests {
    use aspen_guest::testing::{Harness, faults};

    use super::*;

    fn bucket(capacity: u32, per_second: u32) -> Harness {
        let mut shard = Harness::new();
        shard.call(|| RateLimiter::configure("api".into(), capacity, per_second)).unwrap();
        shard
    }

    /// Returns the verdict: allowed or not, tokens left, time until a retry.
    fn take(shard: &mut Harness, tokens: u32) -> (bool, u64, u64) {
        let verdict = shard.call(|| RateLimiter::take("api".into(), tokens)).unwrap();
        (verdict.allowed, verdict.left, verdict.retry_after_ms)
    }

    #[test]
    fn bucket_empties_and_fills() {
        let mut shard = bucket(10, 4);
        assert_eq!(take(&mut shard, 10), (true, 0, 0));
        assert_eq!(take(&mut shard, 1), (false, 0, 250));
        shard.set_time(249);
        assert_eq!(take(&mut shard, 1), (false, 0, 1));
        shard.set_time(250);
        assert_eq!(take(&mut shard, 1), (true, 0, 0));
        shard.set_time(1_000_000);
        assert_eq!(take(&mut shard, 3), (true, 7, 0));
    }

    #[test]
    fn refused_request_writes_nothing() {
        let mut shard = bucket(1, 0);
        assert_eq!(take(&mut shard, 1), (true, 0, 0));
        let revision = shard.revision();
        assert_eq!(take(&mut shard, 1), (false, 0, u64::MAX));
        let too_much = shard.call(|| RateLimiter::take("api".into(), 2));
        assert_eq!(too_much.unwrap_err(), "2 tokens wanted, the bucket holds 1");
        shard.call(|| RateLimiter::peek("api".into(), 1)).unwrap();
        assert_eq!(shard.revision(), revision);
    }

    #[test]
    fn new_rules_keep_what_is_there() {
        let mut shard = bucket(10, 1);
        take(&mut shard, 4);
        shard.call(|| RateLimiter::configure("api".into(), 3, 1)).unwrap();
        assert_eq!(take(&mut shard, 0), (true, 3, 0));
        shard.call(|| RateLimiter::configure("api".into(), 20, 1)).unwrap();
        assert_eq!(take(&mut shard, 0), (true, 3, 0));
    }

    #[test]
    fn bad_input_is_refused() {
        let mut shard = Harness::new();
        shard.call(|| RateLimiter::take("api".into(), 1)).unwrap_err();
        shard.call(|| RateLimiter::configure("api".into(), 0, 1)).unwrap_err();
        shard.call(|| RateLimiter::configure("a}".into(), 1, 1)).unwrap_err();
        shard.call(|| RateLimiter::configure("a".repeat(65), 1, 1)).unwrap_err();
        assert_eq!(shard.revision(), 0);
    }

    /// Takes and adds up what was given, in the same call.
    fn take_and_count(tokens: u32) -> Result<(), String> {
        if RateLimiter::take("api".into(), tokens)?.allowed {
            let given = store::get_u64("given").unwrap_or(0);
            store::put_u64("given", given + u64::from(tokens));
        }
        Ok(())
    }

    #[test]
    fn no_more_is_given_than_the_rules_say_under_faults() {
        faults::check(0..200, |sim| {
            let start = || {
                store::put_u64("start", context::time_ms());
                RateLimiter::configure("api".into(), 5, 2)
            };
            sim.call(start).unwrap();
            sim.invariant(|| {
                let elapsed_ms = context::time_ms() - store::get_u64("start").unwrap();
                let given = store::get_u64("given").unwrap_or(0);
                assert!(given * 1000 <= 5 * 1000 + 2 * elapsed_ms, "{given} in {elapsed_ms} ms");
            });
            for _ in 0..3 {
                sim.client(|client| async move {
                    for _ in 0..6 {
                        let tokens = client.pick(6) as u32;
                        let _ = client.call(move || take_and_count(tokens)).await;
                    }
                });
            }
            sim.run();
        });
    }
}
