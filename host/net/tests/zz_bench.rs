mod peers;
use aspen_net::*;
use bytes::Bytes;
use peers::*;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio_real::runtime::Builder;
#[test]
fn bench() {
    let mk = |n| {
        Builder::new_multi_thread()
            .worker_threads(n)
            .enable_all()
            .build()
            .unwrap()
    };
    let (srt, crt) = (mk(1), mk(1));
    let s = srt.block_on(server(&Script::new(None)));
    let c = crt.block_on(client());
    let to = s.local();
    for inflight in [1usize, 64, 256] {
        for _ in 0..2 {
            let n = Arc::new(AtomicU64::new(0));
            let t = Instant::now();
            crt.block_on(async {
                let mut h = vec![];
                for _ in 0..inflight {
                    let (c, n) = (c.clone(), n.clone());
                    h.push(tokio_real::spawn(async move {
                        let body = Bytes::from(vec![7; 128]);
                        while t.elapsed() < Duration::from_secs(3) {
                            c.request(&to, Purpose::Client, body.clone(), PLENTY)
                                .await
                                .unwrap();
                            n.fetch_add(1, Ordering::Relaxed);
                        }
                    }));
                }
                for h in h {
                    h.await.unwrap();
                }
            });
            println!(
                "inflight {inflight}: {:.0}/s",
                n.load(Ordering::Relaxed) as f64 / t.elapsed().as_secs_f64()
            );
        }
    }
    // bulk
    let t = Instant::now();
    crt.block_on(async {
        let mut h = vec![];
        for _ in 0..64 {
            let c = c.clone();
            h.push(tokio_real::spawn(async move {
                c.request(
                    &to,
                    Purpose::Snapshot,
                    Bytes::from(vec![7; 1 << 20]),
                    PLENTY,
                )
                .await
                .unwrap();
            }));
        }
        for h in h {
            h.await.unwrap();
        }
    });
    println!(
        "64 MiB there and back: {:.0} MiB/s each way",
        64.0 / t.elapsed().as_secs_f64()
    );
}
