//! The work of clients in a run, each kind with the promise that its check holds.
//!
//! Promises to tell acknowledged, refused and unknown outcomes apart. `site.rs` has the clients that do the
//! work.

mod bank;
mod branches;
mod counters;
mod histories;
mod leases;
mod lists;
mod schedules;
mod stale;
mod uploads;
mod versions;

use aspen_client::Client;

use super::site::{Site, WorkUnderWay};
use super::workload::Workload;

impl Workload {
    /// Writes the keys and uploads the components that must be there before the clients begin.
    pub async fn prepare(self, client: &Client, site: &Site<'_>) {
        match self {
            Workload::Bank => bank::prepare(client, site).await,
            Workload::Counters => counters::prepare(client, site).await,
            Workload::Uploads => uploads::prepare(client, site).await,
            Workload::Branches => branches::prepare(client, site).await,
            Workload::Schedules => schedules::prepare(client, site).await,
            Workload::Versions => versions::prepare(client, site).await,
            _ => {}
        }
    }

    /// Starts the clients.
    pub fn start(self, site: &Site<'_>) -> WorkUnderWay {
        match self {
            Workload::Registers => histories::start(site, histories::Kind::Registers),
            Workload::Transactions => histories::start(site, histories::Kind::Transactions),
            Workload::Bank => bank::start(site),
            Workload::Lists => lists::start(site),
            Workload::Counters => counters::start(site),
            Workload::Leases => leases::start(site),
            Workload::Uploads => uploads::start(site),
            Workload::Stale => stale::start(site),
            Workload::Across => histories::start(site, histories::Kind::Across),
            Workload::Branches => branches::start(site),
            Workload::Schedules => schedules::start(site),
            Workload::Versions => versions::start(site),
        }
    }
}
