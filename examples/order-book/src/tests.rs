//! Orders one by one, and traders under faults.

use aspen_guest::testing::{Harness, faults};

use super::*;

fn place(shard: &mut Harness, trader: &str, side: Side, price: u64, quantity: u64) -> Placed {
    let place = || OrderBook::place("m".into(), trader.into(), side, price, quantity);
    shard.call(place).unwrap()
}

/// Maker, price and quantity of each trade; what rests.
fn outcome(placed: Placed) -> (Vec<(u64, u64, u64)>, u64) {
    let trades = placed.trades.iter().map(|trade| (trade.maker, trade.price, trade.quantity));
    (trades.collect(), placed.resting)
}

/// Id, price and open quantity of each order, best first.
fn show(shard: &mut Harness) -> [Vec<(u64, u64, u64)>; 2] {
    let book = shard.call(|| OrderBook::show("m".into(), 100)).unwrap();
    let shown = |orders: Vec<Resting>| {
        orders.iter().map(|order| (order.id, order.price, order.open)).collect()
    };
    [shown(book.buy), shown(book.sell)]
}

#[test]
fn best_price_trades_first_then_the_oldest() {
    let mut shard = Harness::new();
    place(&mut shard, "ada", Side::Sell, 102, 5);
    place(&mut shard, "ben", Side::Sell, 101, 5);
    place(&mut shard, "cleo", Side::Sell, 101, 5);
    place(&mut shard, "dan", Side::Buy, 99, 5);
    place(&mut shard, "eve", Side::Buy, 100, 5);
    assert_eq!(
        show(&mut shard),
        [vec![(5, 100, 5), (4, 99, 5)], vec![(2, 101, 5), (3, 101, 5), (1, 102, 5)]]
    );
    let bought = outcome(place(&mut shard, "fay", Side::Buy, 102, 12));
    assert_eq!(bought, (vec![(2, 101, 5), (3, 101, 5), (1, 102, 2)], 0));
    let sold = outcome(place(&mut shard, "gus", Side::Sell, 100, 7));
    assert_eq!(sold, (vec![(5, 100, 5)], 2));
    assert_eq!(show(&mut shard), [vec![(4, 99, 5)], vec![(7, 100, 2), (1, 102, 3)]]);
}

#[test]
fn cancelled_order_trades_no_more() {
    let mut shard = Harness::new();
    place(&mut shard, "ada", Side::Sell, 10, 5);
    place(&mut shard, "ben", Side::Buy, 10, 2);
    let cancel = |trader: &'static str| move || OrderBook::cancel("m".into(), trader.into(), 1);
    assert_eq!(shard.call(cancel("ben")), Err("order 1 is not of ben".into()));
    assert_eq!(shard.call(cancel("ada")), Ok(3));
    assert_eq!(shard.call(cancel("ada")), Err("order 1 is not in the book".into()));
    assert_eq!(outcome(place(&mut shard, "ben", Side::Buy, 10, 2)), (vec![], 2));
}

#[test]
fn matching_is_bounded() {
    let mut shard = Harness::new();
    for _ in 0..TRADES_MAX + 1 {
        place(&mut shard, "ada", Side::Sell, 10, 1);
    }
    let placed = place(&mut shard, "ben", Side::Buy, 10, 300);
    assert_eq!((placed.trades.len(), placed.resting, placed.refused), (TRADES_MAX, 0, 100));
    let placed = place(&mut shard, "ben", Side::Buy, 10, placed.refused);
    assert_eq!((placed.trades.len(), placed.resting, placed.refused), (1, 99, 0));
}

#[test]
fn bad_input_is_refused() {
    let mut shard = Harness::new();
    let mut refuse = |market: &str, trader: &str, quantity| {
        let place = || OrderBook::place(market.into(), trader.into(), Side::Buy, 1, quantity);
        shard.call(place).map(drop).unwrap_err();
    };
    refuse("m", "ada", 0);
    refuse("m", "", 1);
    refuse("m}", "ada", 1);
    refuse("m", &"a".repeat(65), 1);
}

/// Places an order, and adds to the sums of all quantities placed and traded.
fn place_and_count(side: Side, price: u64, quantity: u64) -> Result<(), String> {
    let placed = OrderBook::place("m".into(), "ada".into(), side, price, quantity)?;
    let traded: u64 = placed.trades.iter().map(|trade| trade.quantity).sum();
    add("placed", quantity);
    add("traded", 2 * traded);
    Ok(())
}

fn cancel_and_count(id: u64) -> Result<(), String> {
    let open = OrderBook::cancel("m".into(), "ada".into(), id)?;
    add("cancelled", open);
    Ok(())
}

fn add(sum: &str, quantity: u64) {
    store::put_u64(sum, store::get_u64(sum).unwrap_or(0) + quantity);
}

#[test]
fn book_is_never_crossed_and_nothing_is_lost_under_faults() {
    faults::check(0..200, |sim| {
        sim.invariant(|| {
            let Book { buy, sell } = OrderBook::show("m".into(), 100).unwrap();
            if let (Some(buyer), Some(seller)) = (buy.first(), sell.first()) {
                assert!(buyer.price < seller.price, "the book is crossed");
            }
            let open: u64 = buy.iter().chain(&sell).map(|order| order.open).sum();
            let [placed, traded, cancelled] =
                ["placed", "traded", "cancelled"].map(|sum| store::get_u64(sum).unwrap_or(0));
            assert_eq!(placed, open + traded + cancelled);
        });
        for _ in 0..3 {
            sim.client(|client| async move {
                for _ in 0..6 {
                    let side = [Side::Buy, Side::Sell][client.pick(2) as usize];
                    let (price, quantity) = (10 + client.pick(4), 1 + client.pick(5));
                    let (id, what) = (1 + client.pick(10), client.pick(5));
                    let call = move || match what {
                        0 => cancel_and_count(id),
                        _ => place_and_count(side, price, quantity),
                    };
                    let _ = client.call(call).await;
                }
            });
        }
        sim.run();
    });
}
