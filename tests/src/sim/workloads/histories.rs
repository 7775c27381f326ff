//! Clients whose history is checked for strict serializability.

use crate::history::{self, Recorder, check};
use crate::sim::site::{Site, WorkUnderWay};

/// Numbers that clients are told apart by in a history begin here, by kind.
const CHECKER: u64 = 99;

/// The kind of the clients' work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Registers,
    Transactions,
    /// Transactions whose keys live on all shards.
    Across,
}

impl Kind {
    /// Every kind has keys of its own.
    fn prefix(self) -> &'static str {
        match self {
            Kind::Registers => "{register}/",
            Kind::Transactions => "{hot}/",
            Kind::Across => "across/",
        }
    }
}

pub fn start(site: &Site<'_>, kind: Kind) -> WorkUnderWay {
    let recorder = Recorder::new(site.cluster.shards);
    let seed = site.plan.seed;
    let clients = (0..3).map(|_| {
        let recorder = recorder.clone();
        site.client(move |worker| async move {
            let (client, process) = (worker.client.clone(), u64::from(worker.number));
            let mut workload =
                history::Workload::on(kind.prefix(), client, recorder.clone(), process, seed);
            while worker.goes_on().await {
                match kind {
                    Kind::Registers => workload.register_step().await,
                    Kind::Transactions | Kind::Across => workload.step().await,
                }
                if let Some(last) = recorder.last(process) {
                    worker.note(last);
                }
            }
        })
    });
    let (clients, trace) = (clients.collect(), site.trace.clone());
    let check = move |client| -> aspen_net::BoxFuture<()> {
        Box::pin(async move {
            let workload =
                history::Workload::on(kind.prefix(), client, recorder.clone(), CHECKER, seed);
            workload.read_all().await;
            let history = recorder.history();
            let report = check(&history);
            trace.event(format_args!("{kind:?}: {report}"));
            assert!(report.is_good(), "serializability: {report}");
        })
    };
    WorkUnderWay { clients, check: Box::new(check) }
}
