//! Workers that share threads: none waits for ever for another, and a panic is one worker's own.

use std::sync::mpsc as blocking;

use futures::executor::block_on;
use tokio::sync::mpsc;

use crate::runtime::Pool;

/// More workers than a pool has threads, on any machine that runs this.
const MANY: usize = 1_000;

#[test]
fn storage_workers_that_wait_leave_the_threads_to_others() {
    let (answers, answered) = blocking::channel();
    let mut workers = vec![];
    for number in 0..MANY {
        let (sender, mut jobs) = mpsc::channel(1);
        let answers = answers.clone();
        let work = async move {
            while let Some(()) = jobs.recv().await {
                answers.send(number).unwrap();
            }
        };
        workers.push((sender, Pool::Apply.spawn(work).unwrap()));
    }
    // The last first: those that have not been asked wait all the time.
    for (number, (sender, _)) in workers.iter().enumerate().rev() {
        sender.try_send(()).unwrap();
        assert_eq!(answered.recv().unwrap(), number);
    }
    drop(workers);
}

#[test]
fn storage_a_worker_that_panics_ends_alone() {
    for _ in 0..100 {
        let worker = Pool::Flush.spawn(async { panic!("on purpose") }).unwrap();
        block_on(worker.join());
    }
    let (sender, answer) = blocking::channel();
    drop(Pool::Flush.spawn(async move { sender.send(7).unwrap() }).unwrap());
    assert_eq!(answer.try_recv(), Ok(7), "whoever drops a worker has waited for its end");
}

#[test]
fn storage_a_worker_may_drop_itself() {
    let (sender, mut own) = mpsc::channel(1);
    let (ended, end) = blocking::channel();
    let worker = Pool::Apply.spawn(async move {
        drop(own.recv().await);
        ended.send(()).unwrap();
    });
    sender.try_send(worker.unwrap()).unwrap();
    end.recv().unwrap();
}

#[test]
fn storage_apply_may_wait_for_a_flush() {
    let (ended, end) = blocking::channel();
    let apply = Pool::Apply.spawn(async move {
        drop(Pool::Flush.spawn(async move { ended.send(()).unwrap() }).unwrap());
    });
    block_on(apply.unwrap().join());
    end.try_recv().unwrap();
}
