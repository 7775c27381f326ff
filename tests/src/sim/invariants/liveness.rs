//! Once everything is mended, every shard serves within bounded time.

use std::time::Duration;

use aspen_client::Client;
use madsim::time::timeout;

/// Longer than an election, a snapshot and a restart together.
const SERVE_WAIT: Duration = Duration::from_secs(20);

/// Writes to and reads from every shard.
///
/// # Panics
/// If one does not serve within [`SERVE_WAIT`].
pub async fn check(client: &Client, shards: u16) {
    for shard in 0..shards {
        let router = aspen_core::placement::ShardRouter::new(shards).expect("a number of shards");
        let keys = (0..).map(|number| format!("alive/{number}"));
        let mut keys = keys.filter(|key| router.shard(key.as_bytes()).get() == shard);
        let key = keys.next().expect("every shard has keys");
        let served = async {
            while client.put(&key, "yes").await.is_err() {}
            while client.get(&key).await.is_err() {}
        };
        let served = timeout(SERVE_WAIT, served).await;
        assert!(served.is_ok(), "liveness: shard {shard} does not serve within {SERVE_WAIT:?}");
    }
}
