//! Outcomes as lines of a script.

use aspen::txn_print::{print_outcome, print_results};
use aspen_core::protocol::Outcome;
use aspen_core::transaction::Transact;
use aspen_core::two_phase::{Branch, Decision, Vote};

/// A line for an outcome of any command, or several of a conflict.
pub fn print(outcome: &Outcome) -> Vec<String> {
    let line = match outcome {
        Outcome::SessionOpened { session } => format!("session {}", session.get()),
        Outcome::Refused(refusal) => format!("refused: {refusal}"),
        Outcome::Ticked => "nothing is due".into(),
        Outcome::Prepared(vote) => print_vote(vote),
        Outcome::Decided(decision) => print_decision(decision),
        Outcome::Finished => "finished".into(),
        Outcome::Uploaded { .. } => "uploaded".into(),
        Outcome::Pointed => "pointed".into(),
        Outcome::NameRemoved { existed: false, .. } => "no such name".into(),
        Outcome::NameRemoved { components, .. } => format!("removed with {components} components"),
        Outcome::Scheduled { due } => format!("due at {} ms", due.get()),
        Outcome::Unscheduled { existed: true } => "ended".into(),
        Outcome::Unscheduled { existed: false } => "no such schedule".into(),
        Outcome::Returned { revision, writes, .. } => {
            format!("returned with {writes} writes at revision {}", revision.get())
        }
        Outcome::Aborted { .. } => "returned an error".into(),
        Outcome::Faulted { fault, .. } => format!("failed: {fault}"),
        other => return print_outcome(&Transact::default(), other),
    };
    vec![line]
}

fn print_vote(vote: &Vote) -> String {
    let reads = if vote.reads_hold { "" } else { ", reads do not hold" };
    format!("votes yes, prepare {}{reads}", vote.prepare_id)
}

/// A decision: the branch, and the prepares that count.
pub fn print_decision(decision: &Decision) -> String {
    let Decision::Commit { branch, prepare_ids } = decision else { return "decided: abort".into() };
    let branch = match branch {
        Branch::Then => "then",
        Branch::Otherwise => "else",
    };
    let counts: Vec<String> =
        prepare_ids.iter().map(|(shard, prepare_id)| format!("{shard} {prepare_id}")).collect();
    format!("decided: commit {branch}, with prepares of {}", counts.join(", "))
}

/// The end of a transaction across shards, as its client is told.
pub fn print_answer(transact: &Transact, outcome: &Outcome) -> Vec<String> {
    match outcome {
        Outcome::Committed { succeeded, results, .. } => {
            let branch = if *succeeded { "committed" } else { "committed its else" };
            print_results(transact, *succeeded, results).chain([branch.to_string()]).collect()
        }
        other => print_outcome(transact, other),
    }
}
