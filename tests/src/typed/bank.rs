//! A typed client of `bank`. Written by `aspen client-gen`: make it again instead of changing it.
//!
//! Made from the WIT world `example:bank/bank`.

#![allow(dead_code, reason = "a program need not use all of it")]
#![allow(missing_docs, rustdoc::all, reason = "comments are those of the WIT")]
#![allow(clippy::all, reason = "so are names and shapes")]

use aspen_client::typed;

/// Accounts in cents, and transfers that neither lose nor make money.
#[derive(Clone)]
pub struct Bank {
    component: typed::Component,
}

impl Bank {
    /// Calls the component that is uploaded as `bank`.
    pub fn new(client: aspen_client::Client) -> Self {
        Self::named(client, "bank")
    }

    /// Calls the one of another name, or of a text like `sha256:9f86d0...`.
    pub fn named(client: aspen_client::Client, name: &str) -> Self {
        let component = typed::Component::new(client, name);
        Self { component }
    }

    /// Asks the cluster whether the component has the functions that this was made for.
    pub async fn check(&self) -> Result<(), typed::CheckError> {
        self.component.check(SIGNATURES).await
    }

    /// Opens an account with so many cents. There must be no such account.
    pub fn open(&self, account: &str, cents: u64) -> typed::Call<(), String> {
        let mut call = self.component.call("open");
        call.arg(account);
        call.arg(cents);
        call
    }

    /// Moves cents from one account to another.
    pub fn transfer(&self, from: &str, to: &str, amount: u64) -> typed::Call<Receipt, String> {
        let mut call = self.component.call("transfer");
        call.arg(from);
        call.arg(to);
        call.arg(amount);
        call
    }

    /// The balance of an account in cents.
    pub fn balance(&self, account: &str) -> typed::Call<u64, String> {
        let mut call = self.component.call("balance");
        call.arg(account);
        call
    }

    /// Does nothing: what a call costs before it works.
    pub fn touch(&self) -> typed::Call<()> {
        self.component.call("touch")
    }
}

/// The two balances after a transfer, in cents.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Receipt {
    pub from_balance: u64,
    pub to_balance: u64,
}

aspen_client::wit! {
    record Receipt = "receipt" {
        from_balance = "from-balance",
        to_balance = "to-balance",
    }
}

aspen_client::wit! {
    functions SIGNATURES {
        "open: func(account: string, cents: u64) -> result<_, string>",
        "transfer: func(from: string, to: string, amount: u64) -> result<record { from-balance: u64, to-balance: u64 }, string>",
        "balance: func(account: string) -> result<u64, string>",
        "touch: func()",
    }
}
