//! The input: one purchase a line, `customer,date,cds,dollars`.

use std::path::Path;
use std::sync::Arc;

use crate::failure::Failure;

/// One purchase.
#[derive(Clone, Debug)]
pub struct Purchase {
    /// Five digits.
    pub customer: String,
    /// `YYYY-MM-DD`
    pub date: String,
    /// Number of CDs.
    pub cds: u32,
    /// Their price.
    pub cents: u64,
}

/// Reads the whole file.
pub fn read(path: &Path) -> Result<Arc<[Purchase]>, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let lines = text.lines().enumerate().skip(1).filter(|(_, line)| !line.is_empty());
    let parsed = lines.map(|(at, line)| {
        parse(line)
            .ok_or_else(|| format!("{}:{}: bad line {line:?}", path.display(), at + 1).into())
    });
    parsed.collect()
}

fn parse(line: &str) -> Option<Purchase> {
    let mut fields = line.split(',');
    let mut next = || fields.next();
    let (customer, date) = (next()?.to_string(), next()?.to_string());
    let (cds, dollars) = (next()?.parse().ok()?, next()?);
    let (whole, part) = dollars.split_once('.')?;
    if next().is_some() || part.len() != 2 {
        return None;
    }
    let cents = whole.parse::<u64>().ok()? * 100 + part.parse::<u64>().ok()?;
    Some(Purchase { customer, date, cds, cents })
}
