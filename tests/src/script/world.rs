//! The shards of a script: models, one clock, and the texts that stand for what is long.
//!
//! A script writes `s1/a` for a key of shard 1; the key itself has a tag that lives there. Output is
//! translated back, and so are hashes, addresses and the ids of transactions: a script shows none of them.

use aspen_core::apply::apply;
use aspen_core::codec::decode;
use aspen_core::ids::{Caller, RequestId, SessionId, ShardId, Timestamp};
use aspen_core::key::Key;
use aspen_core::placement::ShardRouter;
use aspen_core::protocol::{Command, Entry, Outcome};
use aspen_core::state::Model;
use aspen_core::transaction::Transact;
use bytes::Bytes;

use crate::script::functions::ScriptFunctions;

/// First stamp of a script, in milliseconds.
const CLOCK_START_MS: u64 = 1_000;

/// The shards, each with session 1 open.
pub struct World {
    pub models: Vec<Model>,
    pub clock: u64,
    pub caller: Caller,
    /// By shard, the last number that session 1 used.
    sequences: Vec<u64>,
    /// Texts of the output, each with the text that stands for it in a script.
    names: Vec<(String, String)>,
}

impl World {
    pub fn new(shards: u16) -> World {
        let count = usize::from(shards);
        let mut world = World {
            models: vec![Model::new(); count],
            clock: CLOCK_START_MS,
            caller: Caller::LOCAL,
            sequences: vec![0; count],
            names: vec![],
        };
        world.name(&Caller::LOCAL.to_string(), "local");
        for shard in world.shards() {
            let opened = world.entry(shard, None, Command::OpenSession);
            assert_eq!(opened, Outcome::SessionOpened { session: SessionId::new(1) });
            if count > 1 {
                world.name(&format!("{{{}}}/", world.tag(shard)), &format!("{shard}/"));
            }
        }
        world
    }

    pub fn router(&self) -> ShardRouter {
        let shards = u16::try_from(self.models.len()).expect("made of a u16");
        ShardRouter::new(shards).expect("a script has an allowed number of shards")
    }

    pub fn shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.router().shards()).map(ShardId::new)
    }

    pub fn model(&self, shard: ShardId) -> &Model {
        &self.models[usize::from(shard.get())]
    }

    /// Applies an entry of a shard; returns the encoded outcome.
    pub fn apply(&mut self, shard: ShardId, request: Option<RequestId>, command: Command) -> Bytes {
        let (stamp, caller) = (Timestamp::new(self.clock), self.caller);
        let entry = Entry { stamp, seed: 1, caller, request, command };
        let router = self.router();
        let model = &mut self.models[usize::from(shard.get())];
        let applied = apply(model, &ScriptFunctions, shard, router, &entry);
        model.check();
        applied.expect("the model never fails").outcome
    }

    /// Applies an entry of a shard.
    pub fn entry(
        &mut self,
        shard: ShardId,
        request: Option<RequestId>,
        command: Command,
    ) -> Outcome {
        decode(&self.apply(shard, request, command)).expect("apply encoded it")
    }

    /// Applies a command as the next request of session 1.
    pub fn run(&mut self, shard: ShardId, command: Command) -> Outcome {
        let request = self.next_request(shard);
        self.entry(shard, Some(request), command)
    }

    /// Returns the next request of session 1 on a shard.
    pub fn next_request(&mut self, shard: ShardId) -> RequestId {
        let sequence = &mut self.sequences[usize::from(shard.get())];
        *sequence += 1;
        RequestId { session: SessionId::new(1), sequence: *sequence, acknowledged: 0 }
    }

    /// Returns the shard of the first key that a transaction names; shard 0 if it names none.
    pub fn shard_of(&self, transact: &Transact) -> ShardId {
        let keys = transact.operations().filter_map(|operation| operation.key());
        let read = || transact.reads.iter().find_map(|read| read.shard(&self.router()));
        let home = |key: &Key| self.router().shard(key.as_bytes());
        keys.map(home).next().or_else(read).unwrap_or(ShardId::new(0))
    }

    /// Lets `name` stand for `text` in all output.
    pub fn name(&mut self, text: &str, name: &str) {
        self.names.push((text.to_string(), name.to_string()));
    }

    /// A statement with real keys for those such as `s1/a`.
    pub fn with_keys(&self, statement: &str) -> String {
        let real = |word: &str| {
            let stands_for = self
                .names
                .iter()
                .find(|(_, name)| name.ends_with('/') && word.starts_with(name.as_str()));
            match stands_for {
                Some((text, name)) => word.replace(name, text),
                None => word.to_string(),
            }
        };
        statement.split(' ').map(real).collect::<Vec<_>>().join(" ")
    }

    /// A line of output with the texts of scripts.
    pub fn shown(&self, line: &str) -> String {
        let replace = |line: String, (text, name): &(String, String)| line.replace(text, name);
        self.names.iter().fold(line.to_string(), replace)
    }

    /// The line with its shard, if there are several.
    pub fn on(&self, shard: ShardId, line: &str) -> String {
        if self.models.len() == 1 { line.to_string() } else { format!("{shard}: {line}") }
    }

    fn tag(&self, shard: ShardId) -> String {
        let lives_there = |tag: &String| self.router().shard(tag.as_bytes()) == shard;
        let mut tags = (0u64..).map(|tag| tag.to_string());
        tags.find(lives_there).expect("every shard has tags")
    }
}
