//! Names: aliases of components on shard 0, their canaries, and calls by name.
//!
//! A component is a text; its hash is shown as that text.

use aspen_core::apply::resolve;
use aspen_core::function::Call;
use aspen_core::ids::{ComponentHash, ComponentRef, Name, ShardId};
use aspen_core::key::Key;
use aspen_core::protocol::{Command, Upload};
use aspen_core::val::encode_vals;
use aspen_core::view::Components;
use bytes::Bytes;

use crate::script::print::print;
use crate::script::words::{first_word, number};
use crate::script::world::World;

const SHARD: ShardId = ShardId::new(0);

/// Keys of `share`: each has a tag of its own.
const SHARE_KEYS: u32 = 10_000;

/// `upload NAME TEXT`, `point NAME TEXT`, `remove NAME`, `canary NAME TEXT PERCENT` or `canary NAME off`,
/// `call NAME FUNCTION`.
pub fn change(world: &mut World, word: &str, rest: &str) -> Vec<String> {
    let (name, rest) = first_word(rest);
    let (text, rest) = first_word(rest);
    let (alias, component) = (|| name_of(name), ComponentHash::of(text.as_bytes()));
    let command = match word {
        "upload" => {
            world.name(&component.to_string(), text);
            let bytes = Bytes::copy_from_slice(text.as_bytes());
            Command::Upload(Upload { name: alias(), bytes })
        }
        "point" => Command::Point { name: alias(), component },
        "remove" => Command::RemoveName { name: alias() },
        "canary" => {
            let share = || (component, number(rest, "canary NAME TEXT PERCENT"));
            Command::Canary { name: alias(), canary: (text != "off").then(share) }
        }
        _ => Command::Call(call(name, text)),
    };
    print(&world.run(SHARD, command))
}

/// A call of a function; its key is `log`.
pub fn call(component: &str, function: &str) -> Call {
    let text = component.strip_prefix("hash:").map(|text| ComponentHash::of(text.as_bytes()));
    let component = text.map_or_else(|| ComponentRef::Name(name_of(component)), ComponentRef::Hash);
    let args = encode_vals(&[]).expect("no values are within the limit");
    let (key, function) = (key_of("log"), function.to_string());
    Call { key, component, function, args, reads: vec![] }
}

/// Every alias with its history, the present component last, and its canary.
pub fn names(world: &World) -> Vec<String> {
    let aliases = world.model(SHARD).aliases().expect("the model never fails");
    let print = |(name, alias): &(Name, std::sync::Arc<aspen_core::view::Alias>)| {
        let history: Vec<String> =
            alias.history.iter().map(|pointed| pointed.component.to_string()).collect();
        let canary = alias.canary.as_ref().map(|canary| {
            format!(", canary {} for {} of 100", canary.pointed.component, canary.percent)
        });
        format!("{name} -> {}{}", history.join(", "), canary.unwrap_or_default())
    };
    let lines: Vec<String> = aliases.iter().map(print).collect();
    if lines.is_empty() { vec!["no names".into()] } else { lines }
}

/// Returns for each text if its component is stored.
pub fn stored(world: &World, texts: &str) -> Vec<String> {
    let stored = |text: &str| {
        let component = ComponentHash::of(text.as_bytes());
        let is_stored = world.model(SHARD).has_component(&component);
        let is_stored = is_stored.expect("the model never fails");
        format!("{text} is {}", if is_stored { "stored" } else { "gone" })
    };
    texts.split_whitespace().map(stored).collect()
}

/// The component that a call of a name means for each key.
pub fn means(world: &World, words: &str) -> Vec<String> {
    let (name, keys) = first_word(words);
    let meant = |key: &str| format!("{key}: {}", meaning(world, name, key));
    keys.split_whitespace().map(meant).collect()
}

/// The share of tags whose calls go to a component, in whole percent.
pub fn share(world: &World, words: &str) -> Vec<String> {
    let (name, text) = first_word(words);
    let component = ComponentHash::of(text.as_bytes()).to_string();
    let goes = |n: &u32| meaning(world, name, &format!("key-{n}")) == component;
    let count = (0..SHARE_KEYS).filter(goes).count();
    vec![format!("{text} gets about {} of 100 keys", (count + 50) / 100)]
}

fn meaning(world: &World, name: &str, key: &str) -> String {
    let component = ComponentRef::Name(name_of(name));
    let found = resolve(world.model(SHARD), &component, &key_of(key));
    let found = found.expect("the model never fails");
    found.map_or("none".into(), |component| component.to_string())
}

fn name_of(text: &str) -> Name {
    Name::new(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

fn key_of(text: &str) -> Key {
    Key::try_from(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}
