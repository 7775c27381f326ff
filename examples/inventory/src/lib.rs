//! Stock that is reserved for a while: reserve, then confirm or release, or let it lapse.
//!
//! Promises that `free + reserved + sold` is what was restocked, that nothing is sold twice, and
//! that a reservation ends at its time by the clock of the log, the same on every replica: from then
//! on it cannot be confirmed, and the next reservation gets its units.
//! The item is the tag: all keys of an item live on one shard. Next to each reservation stands a key
//! that begins with the end of its time, so that those which lapsed are the first of a range.
//! Leaves out orders of several items: with `--across` a caller may reserve each of them.

use aspen_guest::keys::{Key, KeyError};
use aspen_guest::{context, store};
use serde::{Deserialize, Serialize};

aspen_guest::function!({ world: "inventory", path: "wit" });

const NAME_BYTES_MAX: usize = 64;
/// Reservations that one call gives back: two keys each, far below the 1,024 that a call may write.
const GIVEN_BACK_MAX: usize = 300;

/// The value of `{ITEM} "levels"`. Units that lapsed are still among the reserved ones.
#[derive(Default, Serialize, Deserialize)]
struct Kept {
    free: u64,
    reserved: u64,
    sold: u64,
}

/// The value of `{ITEM} "order" ORDER`.
#[derive(Serialize, Deserialize)]
enum Order {
    Reserved { units: u64, until_ms: u64 },
    Sold { units: u64 },
}

struct Inventory;

impl Guest for Inventory {
    fn restock(item: String, units: u64) -> Result<Levels, String> {
        let item = tag(&item)?;
        let mut kept = kept(&item);
        let all = kept.free.checked_add(kept.reserved).and_then(|sum| sum.checked_add(kept.sold));
        all.and_then(|all| all.checked_add(units)).ok_or("more units than can be counted")?;
        kept.free += units;
        keep(&item, &kept);
        levels(&item)
    }

    fn reserve(item: String, order: String, units: u64, for_ms: u64) -> Result<u64, String> {
        let item = tag(&item)?;
        check_name(&order)?;
        give_back_lapsed(&item)?;
        match store::get_as(order_key(&item, &order)) {
            Some(Order::Reserved { units: before, until_ms }) if before == units => {
                return Ok(until_ms);
            }
            Some(_) => return Err(format!("order {order} exists")),
            None => {}
        }
        let mut kept = kept(&item);
        let free = kept.free.checked_sub(units).filter(|_| units > 0);
        kept.free = free.ok_or_else(|| format!("{units} wanted, {} free", kept.free))?;
        kept.reserved += units;
        keep(&item, &kept);
        let until_ms = context::time_ms().saturating_add(for_ms);
        store::put_as(order_key(&item, &order), &Order::Reserved { units, until_ms });
        store::put(until_key(&item).part(until_ms).part(&order), "");
        Ok(until_ms)
    }

    fn confirm(item: String, order: String) -> Result<Levels, String> {
        let item = tag(&item)?;
        check_name(&order)?;
        let found = store::get_as(order_key(&item, &order));
        match found.ok_or_else(|| format!("nothing is reserved for {order}"))? {
            Order::Sold { .. } => {}
            Order::Reserved { until_ms, .. } if until_ms <= context::time_ms() => {
                return Err(format!("the reservation for {order} is over"));
            }
            Order::Reserved { units, until_ms } => {
                let mut kept = kept(&item);
                kept.reserved -= units;
                kept.sold += units;
                keep(&item, &kept);
                store::put_as(order_key(&item, &order), &Order::Sold { units });
                store::delete(until_key(&item).part(until_ms).part(&order));
            }
        }
        levels(&item)
    }

    fn release(item: String, order: String) -> Result<bool, String> {
        let item = tag(&item)?;
        check_name(&order)?;
        match store::get_as(order_key(&item, &order)) {
            None => Ok(false),
            Some(Order::Sold { .. }) => Err(format!("order {order} is sold")),
            Some(Order::Reserved { units, until_ms }) => {
                let mut kept = kept(&item);
                give_back(&item, &order, units, until_ms, &mut kept);
                keep(&item, &kept);
                Ok(true)
            }
        }
    }

    fn show(item: String) -> Result<Levels, String> {
        levels(&tag(&item)?)
    }

    fn give_back(item: String) -> Result<u32, String> {
        give_back_lapsed(&tag(&item)?)
    }
}

aspen_guest::export!(Inventory);

fn tag(item: &str) -> Result<Key, String> {
    check_name(item)?;
    Key::try_tagged(item).map_err(text_of)
}

fn text_of(error: KeyError) -> String {
    error.to_string()
}

fn check_name(name: &str) -> Result<(), String> {
    let is_good = (1..=NAME_BYTES_MAX).contains(&name.len());
    if is_good { Ok(()) } else { Err(format!("a name has 1 to {NAME_BYTES_MAX} bytes")) }
}

fn order_key(item: &Key, order: &str) -> Key {
    item.clone().part("order").part(order)
}

fn until_key(item: &Key) -> Key {
    item.clone().part("until")
}

fn kept(item: &Key) -> Kept {
    store::get_as(item.clone().part("levels")).unwrap_or_default()
}

fn keep(item: &Key, kept: &Kept) {
    store::put_as(item.clone().part("levels"), kept);
}

/// Returns the levels for a caller. Reservations that lapsed count as free, though only the next call that
/// writes takes them away.
fn levels(item: &Key) -> Result<Levels, String> {
    let Kept { free, reserved, sold } = kept(item);
    let lapsed: u64 = lapsed(item)?.iter().map(|lapsed| lapsed.units).sum();
    Ok(Levels { free: free + lapsed, reserved: reserved - lapsed, sold })
}

/// A reservation whose time is over.
struct Lapsed {
    order: String,
    until_ms: u64,
    units: u64,
}

/// Returns the reservations whose time is over, the first to end first.
fn lapsed(item: &Key) -> Result<Vec<Lapsed>, String> {
    let (until, now) = (until_key(item), context::time_ms());
    let mut all = vec![];
    for key in store::below(&until).take(GIVEN_BACK_MAX).map(|item| item.key) {
        let mut parts = until.parts_below(&key).map_err(text_of)?;
        let until_ms: u64 = parts.take().map_err(text_of)?;
        let order: String = parts.only().map_err(text_of)?;
        if until_ms > now {
            break;
        }
        let Some(Order::Reserved { units, .. }) = store::get_as(order_key(item, &order)) else {
            return Err(format!("order {order} has an end and is not reserved"));
        };
        all.push(Lapsed { order, until_ms, units });
    }
    Ok(all)
}

/// Gives back reservations whose time is over. Returns their number.
fn give_back_lapsed(item: &Key) -> Result<u32, String> {
    let lapsed = lapsed(item)?;
    if lapsed.is_empty() {
        return Ok(0);
    }
    let mut kept = kept(item);
    for Lapsed { order, until_ms, units } in &lapsed {
        give_back(item, order, *units, *until_ms, &mut kept);
    }
    keep(item, &kept);
    Ok(lapsed.len() as u32)
}

fn give_back(item: &Key, order: &str, units: u64, until_ms: u64, kept: &mut Kept) {
    kept.reserved -= units;
    kept.free += units;
    store::delete(order_key(item, order));
    store::delete(until_key(item).part(until_ms).part(order));
}

#[cfg(test)]
mod tests;
