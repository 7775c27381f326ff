//! The fault harness finds what it is for, and lets correct clients and functions pass.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unreachable,
    reason = "a test fails by a panic, also in its helper functions"
)]
#![cfg(not(target_arch = "wasm32"))]

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use aspen_guest::store;
use aspen_guest::testing::faults::{CallError, Client, Sim, check, find};

fn read(key: &str) -> u64 {
    store::get_u64(key).unwrap_or(0)
}

fn deposit() -> Result<u64, String> {
    let balance = read("balance") + 1;
    store::put_u64("balance", balance);
    Ok(balance)
}

/// Deposits once per request id, which the client makes up: a repeat changes nothing.
fn deposit_once(id: u64) -> Result<(), String> {
    let done = format!("done/{id}");
    if !store::exists(&done) {
        store::put(done, "");
        deposit()?;
    }
    Ok(())
}

/// Two clients want to deposit three times each; `work` does it once.
fn six_deposits<F>(sim: &mut Sim, work: fn(Client, u64) -> F)
where
    F: Future<Output = ()> + 'static,
{
    sim.invariant(|| assert!(read("balance") <= 6, "money from nowhere"));
    for client_id in 0..2 {
        sim.client(move |client| async move {
            for n in 0..3 {
                work(client.clone(), client_id * 3 + n).await;
            }
        });
    }
    sim.run();
}

#[test]
fn call_that_the_shard_repeats_is_applied_once() {
    check(0..300, |sim| {
        let known = Rc::new(Cell::new(0));
        let count = known.clone();
        let seen = Rc::new(RefCell::new(BTreeSet::new()));
        let balances = seen.clone();
        sim.invariant(move || assert!(count.get() <= read("balance")));
        for _ in 0..3 {
            let (known, seen) = (known.clone(), seen.clone());
            sim.client(|client| async move {
                if let Ok(balance) = client.call(deposit).await {
                    known.set(known.get() + 1);
                    assert!(seen.borrow_mut().insert(balance), "two calls had one outcome");
                }
            });
        }
        sim.run();
        assert!(balances.borrow().iter().all(|balance| (1..=3).contains(balance)));
    });
}

/// Deposits again after a call with an unknown outcome.
async fn careless(client: Client, _: u64) {
    while client.call(deposit).await == Err(CallError::Unknown) {}
}

async fn careful(client: Client, id: u64) {
    while client.call(move || deposit_once(id)).await == Err(CallError::Unknown) {}
}

#[test]
fn client_that_asks_anew_when_it_does_not_know_is_found() {
    let failure = find(0..300, |sim| six_deposits(sim, careless));
    let failure = failure.expect("a deposit is made twice");
    assert_eq!(*failure.panic.downcast::<&str>().unwrap(), "money from nowhere");
    assert!(failure.steps.iter().any(|step| step.ends_with("gives up and does not know")));

    check(0..300, |sim| {
        six_deposits(sim, careful);
        assert_eq!(sim.call(|| Ok::<_, ()>(read("balance"))), Ok(6));
    });
}

#[test]
fn client_that_reads_and_writes_in_two_calls_is_found() {
    let racy = async |client: Client| {
        let Ok(seen) = client.call(|| Ok::<_, ()>(read("counter"))).await else { return };
        let write = move || {
            store::put_u64("counter", seen + 1);
            store::put_u64("writes", read("writes") + 1);
            Ok::<_, ()>(())
        };
        let _ = client.call(write).await;
    };
    let lost = find(0..300, |sim| {
        sim.invariant(|| assert_eq!(read("counter"), read("writes")));
        (0..2).for_each(|_| sim.client(racy));
        sim.run();
    });
    assert!(lost.is_some());
}

#[test]
fn function_that_remembers_outside_the_store_is_found() {
    thread_local!(static CALLS: Cell<u64> = const { Cell::new(0) });
    let remembers = || {
        CALLS.set(CALLS.get() + 1);
        Ok::<_, ()>(CALLS.get())
    };
    let differs = find(0..1, |sim| {
        sim.client(move |client| async move { while client.call(remembers).await.is_err() {} });
        sim.run();
    });
    assert!(differs.is_some());
}

#[test]
fn same_seed_takes_the_same_steps() {
    let steps = |seed| {
        let failure = find([seed], |sim| {
            sim.client(|client| async move {
                for _ in 0..5 {
                    let _ = client.call(deposit).await;
                }
            });
            sim.run();
            panic!("to see the steps");
        });
        failure.unwrap().steps
    };
    assert_eq!(steps(1), steps(1));
    assert_ne!(steps(1), steps(2));
}
