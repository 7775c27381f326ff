//! Purchases of a music shop: running totals per customer and per month.
//!
//! Promises that a customer's `{CUSTOMER}/total` is always the sum of the months
//! `{CUSTOMER}/YYYY-MM`, because one call writes both. The customer's number is the tag, so all
//! keys of a customer live on one shard, and many customers spread over all shards.
//! A value is text, `PURCHASES CDS CENTS`, to be read with `aspen get`.
//! Leaves out repeats: equal purchases on one day are two purchases. Requests are applied once by
//! the store itself.

use aspen_guest::store;

aspen_guest::function!({ world: "purchases", path: "wit" });

const CUSTOMER_BYTES_MAX: usize = 64;
const NOTHING: Totals = Totals { purchases: 0, cds: 0, cents: 0 };

struct Purchases;

impl Guest for Purchases {
    fn record_purchase(
        customer: String,
        date: String,
        cds: u32,
        cents: u64,
    ) -> Result<Totals, String> {
        check_customer(&customer)?;
        check_date(&date)?;
        let bought = Totals { purchases: 1, cds: u64::from(cds), cents };
        let month = &date[.."YYYY-MM".len()];
        add(&format!("{{{customer}}}/{month}"), &bought)?;
        add(&format!("{{{customer}}}/total"), &bought)
    }

    fn totals_of(customer: String, month: Option<String>) -> Result<Totals, String> {
        check_customer(&customer)?;
        let period = month.as_deref().unwrap_or("total");
        read(&format!("{{{customer}}}/{period}"))
    }

    fn totals_of_all(numbers_begin: String) -> Result<Totals, String> {
        let mut all = NOTHING;
        for item in store::prefix_iter(format!("{{{numbers_begin}")) {
            if item.key.ends_with(b"}/total") {
                all = sum(&item.key, &all, &stored(&item.key, &item.record.value)?)?;
            }
        }
        Ok(all)
    }
}

aspen_guest::export!(Purchases);

/// A customer becomes the tag of a key, so it cannot hold a brace.
fn check_customer(customer: &str) -> Result<(), String> {
    let is_good = (1..=CUSTOMER_BYTES_MAX).contains(&customer.len())
        && customer.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_good { Ok(()) } else { Err(format!("customer {customer:?} is not letters and digits")) }
}

fn check_date(date: &str) -> Result<(), String> {
    let is_form = date.len() == 10
        && date.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    let part = |from: usize, to: usize| date[from..to].parse::<u32>().unwrap_or(0);
    let is_date = is_form && (1..=days(part(0, 4), part(5, 7))).contains(&part(8, 10));
    if is_date { Ok(()) } else { Err(format!("date {date:?} is no date like 1997-01-31")) }
}

/// Returns the days of a month; 0 if the month does not exist.
fn days(year: u32, month: u32) -> u32 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 => 28 + u32::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    }
}

/// Adds to the totals under `key`. Returns the new totals.
fn add(key: &str, bought: &Totals) -> Result<Totals, String> {
    let totals = sum(key.as_bytes(), &read(key)?, bought)?;
    store::put(key, format!("{} {} {}", totals.purchases, totals.cds, totals.cents));
    Ok(totals)
}

/// Returns the sum of both, where an error names `key`.
fn sum(key: &[u8], before: &Totals, bought: &Totals) -> Result<Totals, String> {
    let overflow = || format!("{} would overflow", key.escape_ascii());
    let sum = |a: u64, b: u64| a.checked_add(b).ok_or_else(overflow);
    Ok(Totals {
        purchases: sum(before.purchases, bought.purchases)?,
        cds: sum(before.cds, bought.cds)?,
        cents: sum(before.cents, bought.cents)?,
    })
}

/// Returns the totals under `key`, zero if the key does not exist.
fn read(key: &str) -> Result<Totals, String> {
    store::get(key).map_or(Ok(NOTHING), |value| stored(key.as_bytes(), &value))
}

fn stored(key: &[u8], value: &[u8]) -> Result<Totals, String> {
    parse(value).ok_or_else(|| format!("{} holds no totals", key.escape_ascii()))
}

fn parse(value: &[u8]) -> Option<Totals> {
    let mut numbers = str::from_utf8(value).ok()?.split(' ').map(|number| number.parse().ok());
    let mut next = || numbers.next().flatten();
    let totals = Totals { purchases: next()?, cds: next()?, cents: next()? };
    numbers.next().is_none().then_some(totals)
}

#[cfg(test)]
mod tests {
    use aspen_guest::testing::Harness;

    use super::*;

    fn record(shard: &mut Harness, date: &str, cds: u32, cents: u64) -> Result<Totals, String> {
        shard.call(|| Purchases::record_purchase("07592".into(), date.into(), cds, cents))
    }

    fn value(shard: &Harness, key: &str) -> String {
        String::from_utf8(shard.get(key).unwrap()).unwrap()
    }

    #[test]
    fn purchases_add_up_per_month_and_in_all() {
        let mut shard = Harness::new();
        record(&mut shard, "1997-01-01", 2, 2954).unwrap();
        record(&mut shard, "1997-01-01", 2, 2954).unwrap();
        let totals = record(&mut shard, "1997-02-28", 1, 1177).unwrap();
        assert_eq!((totals.purchases, totals.cds, totals.cents), (3, 5, 7085));
        assert_eq!(value(&shard, "{07592}/total"), "3 5 7085");
        assert_eq!(value(&shard, "{07592}/1997-01"), "2 4 5908");
        assert_eq!(value(&shard, "{07592}/1997-02"), "1 1 1177");
        let month = shard.call(|| Purchases::totals_of("07592".into(), Some("1997-01".into())));
        assert_eq!(month.unwrap().cents, 5908);
    }

    #[test]
    fn totals_of_all_add_up_the_customers_whose_numbers_begin_so() {
        let mut shard = Harness::new();
        record(&mut shard, "1997-01-01", 2, 2954).unwrap();
        for customer in ["07", "075", "08"] {
            let bought =
                || Purchases::record_purchase(customer.into(), "1997-01-02".into(), 1, 1_000);
            shard.call(bought).unwrap();
        }
        let mut cents =
            |begin: &str| shard.call(|| Purchases::totals_of_all(begin.into())).unwrap().cents;
        assert_eq!(["", "07", "0759", "9"].map(&mut cents), [5_954, 4_954, 2_954, 0]);
        let mut shard = Harness::new().with("{9}/total", "x");
        let error = shard.call(|| Purchases::totals_of_all("".into())).unwrap_err();
        assert_eq!(error, "{9}/total holds no totals");
    }

    #[test]
    fn bad_input_is_refused() {
        let check = |customer: &str, date: &str| {
            let mut shard = Harness::new();
            let record = || Purchases::record_purchase(customer.into(), date.into(), 1, 1);
            shard.call(record).unwrap_err();
            assert_eq!(shard.revision(), 0, "{customer} {date}");
        };
        check("", "1997-01-01");
        check("a}b", "1997-01-01");
        check("7", "1997-13-01");
        check("7", "1997-02-29");
        check("7", "1997-1-1");
        check("7", "1997-01-00");
        check("7", "1997/01/01");
        check("7", "19९7-01-1");
    }

    #[test]
    fn overflow_keeps_month_and_total_together() {
        let mut shard = Harness::new().with("{07592}/total", format!("1 1 {}", u64::MAX));
        let error = record(&mut shard, "1997-01-01", 1, 1).unwrap_err();
        assert_eq!(error, "{07592}/total would overflow");
        assert_eq!(shard.get("{07592}/1997-01"), None);
    }

    #[test]
    fn foreign_value_is_not_overwritten() {
        for value in ["", "1 2", "1 2 3 4", "1 2 x", "\u{ff}"] {
            let mut shard = Harness::new().with("{07592}/total", value);
            record(&mut shard, "1997-01-01", 1, 1).unwrap_err();
            assert_eq!(shard.get("{07592}/total"), Some(value.into()));
        }
    }
}
