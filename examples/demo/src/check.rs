//! Reads the data of the cluster back with scans and compares it with a plain sum over the file.

use std::collections::BTreeMap;

use aspen_client::{Client, KeyRange, ScanOptions};

use crate::failure::Failure;
use crate::purchases::Purchase;

/// Purchases, CDs and cents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    purchases: u64,
    cds: u64,
    cents: u64,
}

impl Sum {
    fn add(&mut self, other: Sum) {
        self.purchases += other.purchases;
        self.cds += other.cds;
        self.cents += other.cents;
    }

    /// Reads the text form of the function: `purchases cds cents`.
    fn parse(text: &[u8]) -> Option<Sum> {
        let mut numbers = std::str::from_utf8(text).ok()?.split(' ').map(|word| word.parse().ok());
        let mut next = || numbers.next().flatten();
        Some(Sum { purchases: next()?, cds: next()?, cents: next()? })
    }
}

/// `{customer}/total` and `{customer}/YYYY-MM`, as the function keeps them.
type Sums = BTreeMap<String, Sum>;

/// Reads everything back, compares and prints. The error names the difference.
pub async fn check(client: &Client, purchases: &[Purchase]) -> Result<(), Failure> {
    let mut expected = Sums::new();
    for Purchase { customer, date, cds, cents } in purchases {
        let one = Sum { purchases: 1, cds: u64::from(*cds), cents: *cents };
        for part in ["total", &date[..7]] {
            expected.entry(format!("{{{customer}}}/{part}")).or_default().add(one);
        }
    }
    let items = client.scan(KeyRange::prefix("{"), ScanOptions::default()).await?;
    let mut found = Sums::new();
    for item in items {
        let sum = Sum::parse(item.record.value.as_bytes());
        let sum = sum.ok_or_else(|| format!("{}: not a sum", item.key))?;
        // One call wrote the key once: its version counts the purchases, too.
        if item.record.version.get() != sum.purchases {
            return Err(format!("{}: version {}, {sum:?}", item.key, item.record.version).into());
        }
        found.insert(item.key.to_string(), sum);
    }
    if let Some((key, sum)) = expected.iter().find(|(key, sum)| found.get(*key) != Some(*sum)) {
        return Err(format!("{key}: expected {sum:?}, found {:?}", found.get(key)).into());
    }
    if found.len() != expected.len() {
        return Err(format!("{} keys expected, {} found", expected.len(), found.len()).into());
    }
    print(&found);
    Ok(())
}

fn dollars(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn print(found: &Sums) {
    let (totals, months): (Vec<_>, Vec<_>) =
        found.iter().partition(|(key, _)| key.ends_with("/total"));
    let mut best = totals.clone();
    best.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.cents));
    println!("\nbest customers   purchases    CDs      dollars");
    for (key, sum) in best.iter().take(10) {
        let customer = key.trim_start_matches('{').split('}').next().unwrap_or_default();
        println!("  {customer:<15} {:>8} {:>6} {:>12}", sum.purchases, sum.cds, dollars(sum.cents));
    }
    let mut by_month: BTreeMap<&str, Sum> = BTreeMap::new();
    for (key, sum) in months {
        let month = key.rsplit('/').next().unwrap_or_default();
        by_month.entry(month).or_default().add(*sum);
    }
    println!("\nrevenue by month purchases    CDs      dollars");
    for (month, sum) in by_month {
        println!("  {month:<15} {:>8} {:>6} {:>12}", sum.purchases, sum.cds, dollars(sum.cents));
    }
    let mut all = Sum::default();
    totals.iter().for_each(|(_, sum)| all.add(**sum));
    println!(
        "\nchecked   {} keys equal a plain sum over the file: {} purchases, {} CDs, {} dollars",
        found.len(),
        all.purchases,
        all.cds,
        dollars(all.cents)
    );
}
