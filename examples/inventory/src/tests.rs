//! Reservations one by one, and many clients under faults.

use std::cell::Cell;
use std::rc::Rc;

use aspen_guest::testing::{Harness, faults};

use super::*;

fn shard_with(units: u64) -> Harness {
    let mut shard = Harness::new();
    shard.call(|| Inventory::restock("lamp".into(), units)).unwrap();
    shard
}

fn reserve(shard: &mut Harness, order: &str, units: u64, for_ms: u64) -> Result<u64, String> {
    shard.call(|| Inventory::reserve("lamp".into(), order.into(), units, for_ms))
}

fn show(shard: &mut Harness) -> (u64, u64, u64) {
    let levels = shard.call(|| Inventory::show("lamp".into())).unwrap();
    (levels.free, levels.reserved, levels.sold)
}

#[test]
fn reserved_units_are_sold_or_come_back() {
    let mut shard = shard_with(10);
    assert_eq!(reserve(&mut shard, "a", 3, 1000), Ok(1000));
    assert_eq!(reserve(&mut shard, "b", 4, 1000), Ok(1000));
    assert_eq!(reserve(&mut shard, "c", 4, 1000), Err("4 wanted, 3 free".into()));
    assert_eq!(show(&mut shard), (3, 7, 0));
    shard.call(|| Inventory::confirm("lamp".into(), "a".into())).unwrap();
    assert_eq!(shard.call(|| Inventory::release("lamp".into(), "b".into())), Ok(true));
    assert_eq!(shard.call(|| Inventory::release("lamp".into(), "b".into())), Ok(false));
    assert_eq!(show(&mut shard), (7, 0, 3));
}

#[test]
fn repeats_change_nothing() {
    let mut shard = shard_with(10);
    assert_eq!(reserve(&mut shard, "a", 3, 1000), Ok(1000));
    shard.set_time(500);
    assert_eq!(reserve(&mut shard, "a", 3, 1000), Ok(1000));
    assert_eq!(reserve(&mut shard, "a", 2, 1000), Err("order a exists".into()));
    for _ in 0..2 {
        shard.call(|| Inventory::confirm("lamp".into(), "a".into())).unwrap();
    }
    assert_eq!(show(&mut shard), (7, 0, 3));
    let release = shard.call(|| Inventory::release("lamp".into(), "a".into()));
    assert_eq!(release, Err("order a is sold".into()));
}

#[test]
fn reservation_ends_at_its_time() {
    let mut shard = shard_with(10);
    reserve(&mut shard, "a", 8, 1000).unwrap();
    shard.set_time(999);
    assert_eq!(show(&mut shard), (2, 8, 0));
    shard.set_time(1000);
    assert_eq!(show(&mut shard), (10, 0, 0));
    let confirm = shard.call(|| Inventory::confirm("lamp".into(), "a".into()));
    assert_eq!(confirm.unwrap_err(), "the reservation for a is over");
    reserve(&mut shard, "b", 10, 1000).unwrap();
    assert_eq!(shard.scan("").len(), 3, "levels, order b and its end");
}

#[test]
fn many_lapse_in_bounded_steps() {
    let mut shard = shard_with(1000);
    for order in 0..1000 {
        reserve(&mut shard, &order.to_string(), 1, 10).unwrap();
    }
    shard.set_time(10);
    let mut give_back = || shard.call(|| Inventory::give_back("lamp".into())).unwrap();
    assert_eq!([give_back(), give_back(), give_back(), give_back()], [300, 300, 300, 100]);
    assert_eq!(show(&mut shard), (1000, 0, 0));
}

#[test]
fn bad_input_is_refused() {
    let mut shard = shard_with(1);
    reserve(&mut shard, "", 1, 1).unwrap_err();
    reserve(&mut shard, "a", 0, 1).unwrap_err();
    reserve(&mut shard, &"a".repeat(65), 1, 1).unwrap_err();
    shard.call(|| Inventory::restock("la}mp".into(), 1)).unwrap_err();
    shard.call(|| Inventory::restock("lamp".into(), u64::MAX)).unwrap_err();
    assert_eq!(show(&mut shard), (1, 0, 0));
}

/// Customers whose replies are lost and whose reservations lapse: no unit is lost or sold twice.
#[test]
fn units_are_conserved_under_faults() {
    faults::check(0..200, |sim| {
        sim.call(|| Inventory::restock("lamp".into(), 5)).unwrap();
        let told_sold = Rc::new(Cell::new(0));
        let told = told_sold.clone();
        sim.invariant(move || {
            let levels = Inventory::show("lamp".into()).unwrap();
            assert_eq!(levels.free + levels.reserved + levels.sold, 5);
            assert!(told.get() <= levels.sold, "a sale that was confirmed is not there");
        });
        for customer in 0..4u64 {
            let told_sold = told_sold.clone();
            sim.client(move |client| async move {
                let order = format!("order-{customer}");
                let (again, units) = (order.clone(), 1 + client.pick(3));
                let reserve =
                    move || Inventory::reserve("lamp".into(), order.clone(), units, 60_000);
                if client.call(reserve).await.is_ok() {
                    let confirm = move || Inventory::confirm("lamp".into(), again.clone());
                    if client.call(confirm).await.is_ok() {
                        told_sold.set(told_sold.get() + units);
                    }
                }
            });
        }
        sim.run();
    });
}
