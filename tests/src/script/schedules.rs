//! Schedules of shard 0: calls of `native` that the shard makes by itself, by entry time.

use aspen::txn_print::print_ms;
use aspen::txn_text::parse_ms;
use aspen_core::ids::{Name, ShardId, Timestamp};
use aspen_core::protocol::Command;
use aspen_core::state::{FirstRun, LastRun, NewSchedule, Schedule, State};

use crate::script::names::call;
use crate::script::print::print;
use crate::script::words::{first_word, number};
use crate::script::world::World;

const SHARD: ShardId = ShardId::new(0);

const USAGE: &str = "schedule NAME FUNCTION in TIME | at MS [every TIME] [of COMPONENT]";

/// `schedule NAME FUNCTION in TIME | at MS [every TIME] [of COMPONENT]`
pub fn schedule(world: &mut World, words: &str) -> Vec<String> {
    let (name, rest) = first_word(words);
    let (function, mut rest) = first_word(rest);
    let (mut first, mut every_ms, mut component) = (FirstRun::After(0), None, "native");
    while !rest.is_empty() {
        let (word, behind) = first_word(rest);
        let (value, behind) = first_word(behind);
        match word {
            "in" => first = FirstRun::After(parse_ms(value).expect(USAGE)),
            "at" => first = FirstRun::At(Timestamp::new(number(value, USAGE))),
            "every" => every_ms = Some(parse_ms(value).expect(USAGE)),
            "of" => component = value,
            _ => panic!("{word:?}: {USAGE}"),
        }
        rest = behind;
    }
    let call = call(component, function);
    let new = NewSchedule { name: name_of(name), call, first, every_ms };
    print(&world.run(SHARD, Command::Schedule(new)))
}

/// `unschedule NAME`
pub fn unschedule(world: &mut World, name: &str) -> Vec<String> {
    print(&world.run(SHARD, Command::Unschedule { name: name_of(name) }))
}

/// Every schedule: its next time, and its last run.
pub fn schedules(world: &World) -> Vec<String> {
    let schedules = &world.model(SHARD).resident().schedules;
    let lines: Vec<String> = schedules.iter().map(|(name, it)| line(name, it)).collect();
    if lines.is_empty() { vec!["no schedules".into()] } else { lines }
}

fn line(name: &Name, schedule: &Schedule) -> String {
    let Schedule { call, due, every_ms, runs, last, .. } = schedule;
    let every = every_ms.map_or(" once".into(), |ms| format!(" every {}", print_ms(ms)));
    let last = last.as_ref().map_or(String::new(), |LastRun { time, ended }| match ended {
        Ok(ended) => format!(", last at {} ms: {ended:?}", time.get()),
        Err(refusal) => format!(", last at {} ms: refused: {refusal}", time.get()),
    });
    format!("{name}: {}{every}, due at {} ms, {runs} runs{last}", call.function, due.get())
}

fn name_of(text: &str) -> Name {
    Name::new(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}
