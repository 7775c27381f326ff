//! A bank: the function of every database example, and the one that the benchmarks call.
//!
//! Promises that the sum of all balances changes only when an account is opened. An account is the
//! key `account/NAME`; its value is the balance in cents, 8 bytes little endian.
//! In a cluster of several shards both accounts of a transfer must live on one shard: give their
//! names one tag, such as `{berlin}/ada` and `{berlin}/ben`, and route the call by either key.

use aspen_guest::store;

aspen_guest::function!({ world: "bank", path: "wit" });

struct Bank;

impl Guest for Bank {
    fn open(account: String, cents: u64) -> Result<(), String> {
        let key = key(&account);
        if store::exists(&key) {
            return Err(format!("account {account} exists"));
        }
        store::put_u64(&key, cents);
        Ok(())
    }

    fn transfer(from: String, to: String, amount: u64) -> Result<Receipt, String> {
        if from == to {
            return Err("both accounts are the same".into());
        }
        let (from_key, to_key) = (key(&from), key(&to));
        let has = cents(&from_key, &from)?;
        let from_balance =
            has.checked_sub(amount).ok_or_else(|| format!("account {from} has only {has}"))?;
        let to_balance = cents(&to_key, &to)?
            .checked_add(amount)
            .ok_or_else(|| format!("account {to} would overflow"))?;
        store::put_u64(&from_key, from_balance);
        store::put_u64(&to_key, to_balance);
        Ok(Receipt { from_balance, to_balance })
    }

    fn balance(account: String) -> Result<u64, String> {
        cents(&key(&account), &account)
    }

    fn touch() {}
}

aspen_guest::export!(Bank);

fn key(account: &str) -> String {
    ["account/", account].concat()
}

fn cents(key: &str, account: &str) -> Result<u64, String> {
    store::get_u64(key).ok_or_else(|| format!("no account {account}"))
}

#[cfg(test)]
mod tests {
    use aspen_guest::testing::{Harness, faults};

    use super::*;

    const NAMES: [&str; 3] = ["ada", "ben", "cleo"];

    fn two_accounts() -> Harness {
        let mut shard = Harness::new();
        shard.call(|| Bank::open("ada".into(), 100)).unwrap();
        shard.call(|| Bank::open("ben".into(), u64::MAX - 50)).unwrap();
        shard
    }

    fn transfer(shard: &mut Harness, from: &str, to: &str, amount: u64) -> Result<u64, String> {
        shard.call(|| Bank::transfer(from.into(), to.into(), amount)).map(|got| got.from_balance)
    }

    #[test]
    fn transfer_moves_cents() {
        let mut shard = two_accounts();
        assert_eq!(transfer(&mut shard, "ada", "ben", 30), Ok(70));
        assert_eq!(shard.call(|| Bank::balance("ada".into())), Ok(70));
        assert_eq!(shard.call(|| Bank::balance("ben".into())), Ok(u64::MAX - 20));
        let account = shard.get_versioned("account/ada").unwrap();
        assert_eq!((account.version, account.create_revision, account.mod_revision), (2, 1, 3));
    }

    #[test]
    fn refused_transfer_changes_nothing() {
        let check = |from: &str, to: &str, amount, why: &str| {
            let mut shard = two_accounts();
            let before = shard.scan("");
            assert_eq!(transfer(&mut shard, from, to, amount), Err(why.into()));
            assert_eq!(shard.scan(""), before);
            assert_eq!(shard.revision(), 2);
        };
        check("ada", "ben", 101, "account ada has only 100");
        check("ada", "ben", 51, "account ben would overflow");
        check("ada", "eve", 1, "no account eve");
        check("eve", "ada", 1, "no account eve");
        check("ada", "ada", 1, "both accounts are the same");
    }

    #[test]
    fn account_opens_once() {
        let mut shard = two_accounts();
        let again = shard.call(|| Bank::open("ada".into(), 5));
        assert_eq!(again, Err("account ada exists".into()));
        assert_eq!(shard.call(|| Bank::balance("ada".into())), Ok(100));
    }

    /// Three clients transfer at random; the sum of all balances must stay what was opened.
    fn transfers_at_random(
        sim: &mut faults::Sim,
        transfer: fn(String, String, u64) -> Result<Receipt, String>,
    ) {
        for name in NAMES {
            sim.call(|| Bank::open(name.into(), 100)).unwrap();
        }
        sim.invariant(|| {
            let balances = store::prefix_iter("account/").map(|item| item.value_u64());
            assert_eq!(balances.sum::<u64>(), 300, "the sum of all balances");
        });
        for _ in 0..3 {
            sim.client(move |client| async move {
                for _ in 0..5 {
                    let [from, to] = [(); 2].map(|()| NAMES[client.pick(3) as usize].to_string());
                    let amount = client.pick(60);
                    let call = move || transfer(from.clone(), to.clone(), amount);
                    let _ = client.call(call).await;
                }
            });
        }
        sim.run();
    }

    #[test]
    fn sum_of_balances_never_changes_under_faults() {
        faults::check(0..200, |sim| transfers_at_random(sim, Bank::transfer));
    }

    #[test]
    fn transfer_to_oneself_that_makes_money_is_found() {
        // Without the check for equal names the second write would hide the first.
        let unchecked = |from: String, to: String, amount: u64| {
            let (from_key, to_key) = (key(&from), key(&to));
            let from_balance = cents(&from_key, &from)?.checked_sub(amount).ok_or("too little")?;
            let to_balance = cents(&to_key, &to)? + amount;
            store::put_u64(&from_key, from_balance);
            store::put_u64(&to_key, to_balance);
            Ok(Receipt { from_balance, to_balance })
        };
        assert!(faults::find(0..200, |sim| transfers_at_random(sim, unchecked)).is_some());
    }
}
