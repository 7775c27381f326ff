//! Sessions: opened, used with numbers of the script's own, and what is kept of them.

use aspen::txn_print::print_outcome;
use aspen::txn_text::parse;
use aspen_core::ids::{Caller, RequestId, SessionId, ShardId};
use aspen_core::protocol::{Command, Outcome};
use aspen_core::state::State;

use crate::script::print::print;
use crate::script::words::{first_word, number};
use crate::script::world::World;

const SEND: &str = "send SESSION NUMBER [ack NUMBER], behind statements";

/// Of more outcomes than these only the first and the last are shown.
const NUMBERS_SHOWN_MAX: usize = 6;

/// Lets entries from here on come from another caller: `local`, or a text whose first letter counts.
pub fn caller(world: &mut World, name: &str) -> Vec<String> {
    world.caller = match name.bytes().next() {
        Some(first) if name != "local" => Caller::new([first; 32]),
        _ => Caller::LOCAL,
    };
    let hex = world.caller.to_string();
    world.name(&hex, name);
    vec![]
}

/// Opens a session on shard 0, or many.
pub fn open(world: &mut World, count: &str) -> Vec<String> {
    let count: usize = if count.is_empty() { 1 } else { number(count, "open [COUNT]") };
    let open = |_| world.entry(ShardId::new(0), None, Command::OpenSession);
    let opened: Vec<Outcome> = (0..count).map(open).collect();
    match &opened[..] {
        [first, .., last] => vec![print(first).concat() + " to " + &print(last).concat()],
        [one] => print(one),
        [] => vec![],
    }
}

/// Sends statements as one transaction under a request id of the script's own. `send 1 3..9` sends it under
/// every number, and prints the last outcome.
pub fn send(world: &mut World, words: &str, statements: &str) -> Vec<String> {
    let transact = match parse(statements) {
        Ok(transact) => transact,
        Err(error) => return vec![format!("error: {error}")],
    };
    let (session, rest) = first_word(words);
    let (numbers, rest) = first_word(rest);
    let session = SessionId::new(number(session, SEND));
    let acknowledged = rest.strip_prefix("ack ").map_or(0, |word| number(word, SEND));
    let (first, last) = numbers.split_once("..").unwrap_or((numbers, numbers));
    let mut lines = vec![];
    for sequence in number(first, SEND)..=number(last, SEND) {
        let request = RequestId { session, sequence, acknowledged };
        let shard = world.shard_of(&transact);
        let outcome = world.entry(shard, Some(request), Command::Transact(transact.clone()));
        lines = print_outcome(&transact, &outcome);
    }
    lines
}

/// The open sessions of shard 0, and the numbers whose outcomes are kept.
pub fn sessions(world: &World) -> Vec<String> {
    let sessions = &world.model(ShardId::new(0)).resident().sessions;
    let all = sessions.all().map(|(image, outcomes)| {
        let (session, used) = (image.session.get(), image.used.get());
        let numbers: Vec<String> = outcomes.keys().map(u64::to_string).collect();
        let kept = match &numbers[..] {
            [] => "none".into(),
            [first, .., last] if numbers.len() > NUMBERS_SHOWN_MAX => format!("{first} to {last}"),
            few => few.join(" "),
        };
        let (owner, floor) = (image.owner, image.floor);
        format!(
            "session {session} of {owner}: kept {kept}, forgotten to {floor}, used at {used} ms"
        )
    });
    let lines: Vec<String> = all.collect();
    if lines.is_empty() { vec!["no sessions".into()] } else { lines }
}
