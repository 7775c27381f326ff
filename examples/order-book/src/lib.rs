//! An order book: limit orders, price-time priority, matched in the call that places an order.
//!
//! Promises that the book is never crossed (each buyer offers less than each seller wants), that an
//! order trades with the best price first and among equal prices with the oldest order, at the price
//! of the order that was there, and that what is bought is what is sold. The log decides who was
//! first, the same on every replica.
//! The market is the tag. Orders stand below `{MARKET} "buy"` and `{MARKET} "sell"` by rank and id,
//! where the lowest rank is the best price, so the best order is the first key of a range.
//! Leaves out who can pay, other kinds of orders, and traders who trade with themselves.

use aspen_guest::keys::Key;
use aspen_guest::store;
use serde::{Deserialize, Serialize};

aspen_guest::function!({ world: "order-book", path: "wit" });

const NAME_BYTES_MAX: usize = 64;
/// Trades of one call: two keys each, far below the 1,024 that a call may write.
const TRADES_MAX: usize = 200;
/// Orders of one side that are shown.
const SHOWN_MAX: u32 = 100;

/// The value of an order in the book.
#[derive(Serialize, Deserialize)]
struct Order {
    trader: String,
    price: u64,
    open: u64,
}

/// The keys of one market.
struct Market(Key);

struct OrderBook;

impl Guest for OrderBook {
    fn place(
        market: String,
        trader: String,
        side: Side,
        price: u64,
        quantity: u64,
    ) -> Result<Placed, String> {
        let market = Market::new(&market)?;
        check_name(&trader)?;
        if quantity == 0 {
            return Err("an order is of at least one".into());
        }
        let id = market.next_id();
        let (trades, left) = market.trade(side, price, quantity);
        let is_stopped = trades.len() == TRADES_MAX;
        let (resting, refused) = if is_stopped { (0, left) } else { (left, 0) };
        if resting > 0 {
            let order = Order { trader, price, open: resting };
            store::put_as(market.order(side, price, id), &order);
            store::put_as(market.place(id), &(side == Side::Buy, price));
        }
        Ok(Placed { id, trades, resting, refused })
    }

    fn cancel(market: String, trader: String, id: u64) -> Result<u64, String> {
        let market = Market::new(&market)?;
        let place: Option<(bool, u64)> = store::get_as(market.place(id));
        let (is_buy, price) = place.ok_or_else(|| format!("order {id} is not in the book"))?;
        let key = market.order(if is_buy { Side::Buy } else { Side::Sell }, price, id);
        let order: Order = store::get_as(&key).expect("an order is where its place says");
        if order.trader != trader {
            return Err(format!("order {id} is not of {trader}"));
        }
        store::delete(key);
        store::delete(market.place(id));
        Ok(order.open)
    }

    fn show(market: String, limit: u32) -> Result<Book, String> {
        let market = Market::new(&market)?;
        let best = |side| {
            let orders = market.orders(side).take(limit.min(SHOWN_MAX) as usize);
            let shown = orders.map(|(id, Order { trader, price, open })| Resting {
                id,
                trader,
                price,
                open,
            });
            shown.collect()
        };
        Ok(Book { buy: best(Side::Buy), sell: best(Side::Sell) })
    }
}

aspen_guest::export!(OrderBook);

fn check_name(name: &str) -> Result<(), String> {
    let is_good = (1..=NAME_BYTES_MAX).contains(&name.len());
    if is_good { Ok(()) } else { Err(format!("a name has 1 to {NAME_BYTES_MAX} bytes")) }
}

fn other(side: Side) -> Side {
    match side {
        Side::Buy => Side::Sell,
        Side::Sell => Side::Buy,
    }
}

impl Market {
    fn new(name: &str) -> Result<Self, String> {
        check_name(name)?;
        Key::try_tagged(name).map(Self).map_err(|error| error.to_string())
    }

    fn next_id(&self) -> u64 {
        let last = self.0.clone().part("last-id");
        let id = store::get_u64(&last).unwrap_or(0) + 1;
        store::put_u64(last, id);
        id
    }

    fn side(&self, side: Side) -> Key {
        self.0.clone().part(if side == Side::Buy { "buy" } else { "sell" })
    }

    /// The highest price is the best to sell at: there the rank is turned round.
    fn order(&self, side: Side, price: u64, id: u64) -> Key {
        let rank = if side == Side::Buy { u64::MAX - price } else { price };
        self.side(side).part(rank).part(id)
    }

    /// Where an order is: its value is side and price.
    fn place(&self, id: u64) -> Key {
        self.0.clone().part("place").part(id)
    }

    /// The orders of one side with their ids, the best first.
    fn orders(&self, side: Side) -> impl Iterator<Item = (u64, Order)> + use<> {
        let side = self.side(side);
        store::below(&side).map(move |entry| {
            let mut parts = side.parts_below(&entry.key).expect("the range is below the side");
            parts.take::<u64>().expect("the rank comes first");
            let id = parts.only().expect("the id comes last");
            (id, entry.value_as())
        })
    }

    /// Trades an order of `side` with the other side; the trades, and what is left of it.
    fn trade(&self, side: Side, limit: u64, quantity: u64) -> (Vec<Trade>, u64) {
        let (mut trades, mut left) = (vec![], quantity);
        for (maker, mut order) in self.orders(other(side)).take(TRADES_MAX) {
            let is_good = match side {
                Side::Buy => order.price <= limit,
                Side::Sell => order.price >= limit,
            };
            if !is_good || left == 0 {
                break;
            }
            let quantity = left.min(order.open);
            left -= quantity;
            order.open -= quantity;
            let key = self.order(other(side), order.price, maker);
            if order.open == 0 {
                store::delete(key);
                store::delete(self.place(maker));
            } else {
                store::put_as(key, &order);
            }
            trades.push(Trade { maker, price: order.price, quantity });
        }
        (trades, left)
    }
}

#[cfg(test)]
mod tests;
