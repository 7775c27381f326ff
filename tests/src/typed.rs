//! Typed clients as `aspen client-gen` writes them, and the proof that a wrong call does not compile.
//!
//! `bank` and `echo` are made from the WIT of the examples, `uploaded` from a component's description.
//! `tests/client_gen.rs` compares them with what the program writes today.
//!
//! A call with the right types compiles:
//!
//! ```no_run
//! # use aspen_tests::typed::bank::{Bank, Receipt};
//! # async fn example(client: aspen_client::Client) -> Result<(), Box<dyn std::error::Error>> {
//! let bank = Bank::new(client);
//! let receipt: Receipt = bank.transfer("ada", "ben", 30).key("ada").await?;
//! assert_eq!(receipt.from_balance, 70);
//! # Ok(()) }
//! ```
//!
//! A number where a name belongs does not:
//!
//! ```compile_fail,E0308
//! # use aspen_tests::typed::bank::{Bank, Receipt};
//! # async fn example(client: aspen_client::Client) -> Result<(), Box<dyn std::error::Error>> {
//! let bank = Bank::new(client);
//! let receipt: Receipt = bank.transfer("ada", 7, 30).key("ada").await?;
//! # Ok(()) }
//! ```
//!
//! An argument too few does not:
//!
//! ```compile_fail,E0061
//! # use aspen_tests::typed::bank::{Bank, Receipt};
//! # async fn example(client: aspen_client::Client) -> Result<(), Box<dyn std::error::Error>> {
//! let bank = Bank::new(client);
//! let receipt: Receipt = bank.transfer("ada", "ben").key("ada").await?;
//! # Ok(()) }
//! ```
//!
//! A result taken for another type does not:
//!
//! ```compile_fail,E0308
//! # use aspen_tests::typed::bank::{Bank, Receipt};
//! # async fn example(client: aspen_client::Client) -> Result<(), Box<dyn std::error::Error>> {
//! let bank = Bank::new(client);
//! let receipt: u64 = bank.transfer("ada", "ben", 30).key("ada").await?;
//! # Ok(()) }
//! ```
//!
//! Nor does a call without a key, because only a key says where it runs:
//!
//! ```compile_fail,E0277
//! # use aspen_tests::typed::bank::{Bank, Receipt};
//! # async fn example(client: aspen_client::Client) -> Result<(), Box<dyn std::error::Error>> {
//! let bank = Bank::new(client);
//! let receipt: Receipt = bank.transfer("ada", "ben", 30).await?;
//! # Ok(()) }
//! ```

pub mod bank;
pub mod echo;
pub mod uploaded;
