//! An order book: limit orders, price-time priority, matched in the call that places an order.
//!
//! Promises that the book is never crossed (each buyer offers less than each seller wants), that an
//! order trades with the best price first and among equal prices with the oldest order, at the price
//! of the older order, and that as much is bought as is sold. The log decides which order was first, the
//! same on every replica.
//! The market is the tag. Orders stand below `{MARKET} "buy"` and `{MARKET} "sell"` by rank and id,
//! where the lowest rank is the best price, so the best order is the first key of a range.
//! Leaves out who can pay, other kinds of orders, and traders who trade with themselves.

use aspen_guest::keys::{Key, KeyError};
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
        let (trades, left) = market.trade(side, price, quantity).map_err(text_of)?;
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
        let order: Option<Order> = store::get_as(&key);
        let order = order.ok_or_else(|| format!("order {id} is not at its place"))?;
        if order.trader != trader {
            return Err(format!("order {id} is not of {trader}"));
        }
        store::delete(key);
        store::delete(market.place(id));
        Ok(order.open)
    }

    fn show(market: String, limit: u32) -> Result<Book, String> {
        let market = Market::new(&market)?;
        let best = |side| -> Result<Vec<Resting>, KeyError> {
            let orders = market.orders(side).take(limit.min(SHOWN_MAX) as usize);
            let shown = orders.map(|order| {
                let (id, Order { trader, price, open }) = order?;
                Ok(Resting { id, trader, price, open })
            });
            shown.collect()
        };
        let (buy, sell) = (best(Side::Buy).map_err(text_of)?, best(Side::Sell).map_err(text_of)?);
        Ok(Book { buy, sell })
    }
}

aspen_guest::export!(OrderBook);

fn check_name(name: &str) -> Result<(), String> {
    let is_good = (1..=NAME_BYTES_MAX).contains(&name.len());
    if is_good { Ok(()) } else { Err(format!("a name has 1 to {NAME_BYTES_MAX} bytes")) }
}

fn text_of(error: KeyError) -> String {
    error.to_string()
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
        Key::try_tagged(name).map(Self).map_err(text_of)
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

    /// The rank of a buyer is turned round, because the highest price is the best to sell at.
    fn order(&self, side: Side, price: u64, id: u64) -> Key {
        let rank = if side == Side::Buy { u64::MAX - price } else { price };
        self.side(side).part(rank).part(id)
    }

    /// The place of an order: the value is side and price.
    fn place(&self, id: u64) -> Key {
        self.0.clone().part("place").part(id)
    }

    /// Returns the orders of one side with their ids, the best first.
    fn orders(&self, side: Side) -> impl Iterator<Item = Result<(u64, Order), KeyError>> + use<> {
        let side = self.side(side);
        store::below(&side).map(move |item| {
            let mut parts = side.parts_below(&item.key)?;
            parts.take::<u64>()?;
            Ok((parts.only()?, item.value_as()))
        })
    }

    /// Trades an order of `side` with the other side. Returns the trades, and the quantity that is left.
    fn trade(&self, side: Side, limit: u64, quantity: u64) -> Result<(Vec<Trade>, u64), KeyError> {
        let (mut trades, mut left) = (vec![], quantity);
        for order in self.orders(other(side)).take(TRADES_MAX) {
            let (maker, mut order) = order?;
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
        Ok((trades, left))
    }
}

#[cfg(test)]
mod tests;
