//! Transfers neither make nor lose money.

use aspen_client::Item;

/// The sum of all balances, 8 bytes little endian each, is `wanted`.
///
/// # Panics
/// If it is not.
pub fn check(accounts: &[Item], wanted: u64) {
    let cents = |item: &Item| {
        let bytes = item.record.value.as_bytes();
        u64::from_le_bytes(bytes.try_into().expect("a balance has 8 bytes"))
    };
    let found: u64 = accounts.iter().map(cents).sum();
    assert_eq!(found, wanted, "money: {} accounts hold another sum", accounts.len());
}
