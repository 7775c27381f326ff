//! Connecting to the cluster of `--connect`.

use std::path::Path;
use std::time::Duration;

use aspen_client::{Client, Options, Ticket};

use crate::failure::Failure;

/// Connects with the ticket that `connect` leads to; an operation may take `timeout` seconds.
pub async fn connect(connect: &str, timeout: u64) -> Result<Client, Failure> {
    let limit = Duration::from_secs(timeout);
    let ticket = read_ticket(connect)?;
    let options = Options { limit, attempt: limit.min(Options::default().attempt) };
    Ok(Client::connect_with(&ticket, options).await?)
}

/// Finds a ticket: text, file, or folder with a file `ticket`.
pub fn read_ticket(connect: &str) -> Result<Ticket, Failure> {
    let text = match connect.starts_with("aspen1") {
        true => connect.to_string(),
        false => {
            let path = Path::new(connect);
            let path = if path.is_dir() { path.join("ticket") } else { path.to_path_buf() };
            std::fs::read_to_string(&path).map_err(|error| Failure::NotReached {
                message: format!(
                    "cannot read the ticket {}: {error}\n\
                     start a cluster with `aspen dev`, or say where one is with --connect",
                    path.display()
                ),
            })?
        }
    };
    let ticket = text.trim().parse::<Ticket>();
    ticket.map_err(|error| Failure::Usage { message: format!("bad ticket: {error}") })
}
