//! Rooms: the top-level modules of a crate have an order, and imports go down only.
//!
//! The header of `lib.rs` states the order, the lowest room first:
//!
//! ```text
//! //! Rooms, bottom to top; each uses only those above it in this list:
//! //! - `limits`, `error`: one line that says what they are
//! //! - `log`: the Raft log in redb
//! ```
//!
//! Promises that every crate of `host` and the SDK has the list; any other crate that states one is
//! checked as well. `lib.rs` itself lies above every room. Code that exists in tests only is exempt.

use std::collections::BTreeMap;

use crate::modules::{Import, ModuleTree};
use crate::sources::{CrateSources, assert_none, crates};

/// The line before the list.
const TITLE: &str = "//! Rooms, bottom to top; each uses only those above it in this list:";

/// The rooms that the header of a `lib.rs` lists, the lowest first; none if it has no list.
fn listed(lib: &str) -> Option<Vec<String>> {
    let mut lines = lib.lines().skip_while(|line| *line != TITLE);
    lines.next()?;
    let mut rooms = vec![];
    for line in lines {
        match line.strip_prefix("//! - ") {
            Some(entry) => {
                let names = entry.split(':').next().unwrap_or_default();
                // Of "`a`, `b`" every second part is a name.
                rooms.extend(names.split('`').skip(1).step_by(2).map(str::to_string));
            }
            // A line that goes on with the entry before.
            None if line.starts_with("//!   ") => {}
            None => break,
        }
    }
    Some(rooms)
}

fn must_have_rooms(folder: &str) -> bool {
    folder == "guest-sdk" || folder.strip_prefix("host/").is_some_and(|name| !name.contains('/'))
}

fn check(sources: &CrateSources) -> Vec<String> {
    let lib = sources.path("lib.rs");
    let Some(text) = sources.files.get("lib.rs") else {
        let is_wrong = must_have_rooms(&sources.folder);
        return is_wrong.then(|| format!("{lib}: the crate has no library")).into_iter().collect();
    };
    let Some(rooms) = listed(text) else {
        let is_wrong = must_have_rooms(&sources.folder);
        return is_wrong.then(|| format!("{lib}: no line {TITLE:?}")).into_iter().collect();
    };
    let tree = ModuleTree::read(sources, "lib.rs");
    let mut findings = check_list(&lib, &rooms, &tree);
    let upward = tree.imports().into_iter().filter_map(|it| check_import(sources, &rooms, &it));
    findings.extend(upward);
    findings
}

/// The list names every top-level module once, and `mod` lines stand in its order.
fn check_list(lib: &str, rooms: &[String], tree: &ModuleTree) -> Vec<String> {
    let mut findings = vec![];
    let mut places = BTreeMap::new();
    for (place, room) in rooms.iter().enumerate() {
        if places.insert(room, place).is_some() {
            findings.push(format!("{lib}: room {room} is listed twice"));
        }
    }
    let modules = &tree.modules[&vec![]].children;
    for room in rooms {
        if !modules.iter().any(|(name, _)| name == room) {
            findings.push(format!("{lib}: room {room} is listed and is no module"));
        }
    }
    let mut highest = None;
    for (name, line) in modules {
        let place = places.get(name);
        match place {
            None => findings.push(format!("{lib}:{line}: module {name} is in no room of the list")),
            Some(_) if place < highest => {
                findings.push(format!(
                    "{lib}:{line}: mod {name} stands in another order than the list"
                ));
            }
            Some(_) => highest = place,
        }
    }
    findings
}

/// An import that goes up, if it does.
fn check_import(sources: &CrateSources, rooms: &[String], import: &Import) -> Option<String> {
    let place = |room: &String| rooms.iter().position(|it| it == room);
    let (from, to) = &import.rooms;
    let from = from.as_ref()?;
    let at = format!("{}:{}: {}", sources.path(&import.from), import.line, import.text);
    match to {
        None => Some(format!("{at} goes up from room {from} to lib.rs")),
        Some(to) if place(from)? < place(to)? => {
            Some(format!("{at} goes up from room {from} to room {to}"))
        }
        Some(_) => None,
    }
}

#[test]
fn imports_go_down_from_room_to_room() {
    assert_none(crates().iter().flat_map(check).collect());
}

/// The findings for a crate with three files: `lib.rs` has this list and these modules.
#[cfg(test)]
fn found(list: &str, modules: &str, log: &str, apply: &str) -> Vec<String> {
    let lib = format!("//! An example.\n//!\n{TITLE}\n{list}\n//! The end.\n\n{modules}\n");
    check(&CrateSources::of(&[("lib.rs", &lib), ("log.rs", log), ("apply.rs", apply)]))
}

#[cfg(test)]
const LIST: &str = "//! - `log`: the log,\n//!   in redb: one file\n//! - `apply`: uses `log`";

#[cfg(test)]
const MODULES: &str = "mod log;\nmod apply;\npub use apply::X;";

#[test]
fn an_import_that_goes_up_is_found() {
    let none: [&str; 0] = [];
    assert_eq!(found(LIST, MODULES, "pub struct Y;", "use crate::log::Y;\npub struct X;"), none);
    for import in ["crate::apply::X", "crate::X", "super::apply::X", "crate::apply"] {
        let expected =
            format!("host/example/src/log.rs:2: {import} goes up from room log to room apply");
        let log = format!("pub struct Y;\nuse {import};");
        assert_eq!(found(LIST, MODULES, &log, "pub struct X;"), [expected]);
    }
    let log = "fn a() { b!(crate::apply::X) }";
    assert_eq!(found(LIST, MODULES, log, "pub struct X;").len(), 1);
    let log = "#[cfg(madsim)]\nfn a() { crate::apply::X::b() }";
    assert_eq!(found(LIST, MODULES, log, "pub struct X;").len(), 1);
    let log = "#[cfg(test)]\nmod tests { use crate::apply::X; }";
    assert_eq!(found(LIST, MODULES, log, "pub struct X;"), none);
    let modules = format!("{MODULES}\npub struct Z;");
    let expected = "host/example/src/log.rs:1: crate::Z goes up from room log to lib.rs";
    assert_eq!(found(LIST, &modules, "use crate::Z;", "pub struct X;"), [expected]);
}

#[test]
fn a_list_that_is_not_the_crate_s_is_found() {
    let found = |list: &str, modules: &str| {
        let found = found(list, modules, "", "pub struct X;");
        found.into_iter().map(|it| it.replace("host/example/src/lib.rs:", "")).collect::<Vec<_>>()
    };
    assert_eq!(
        found("//! - `log`: the log", MODULES),
        ["8: module apply is in no room of the list"]
    );
    assert_eq!(
        found("//! - `log`, `apply`, `read`: all", MODULES),
        [" room read is listed and is no module"]
    );
    assert_eq!(found("//! - `log`, `apply`, `log`: all", MODULES)[0], " room log is listed twice");
    assert_eq!(
        found("//! - `log`, `apply`: all", "mod apply;\nmod log;"),
        ["8: mod log stands in another order than the list"]
    );
}

#[test]
fn crates_of_the_product_must_have_a_list() {
    let check = |folder: &str| {
        let mut sources = CrateSources::of(&[("lib.rs", "//! A crate.\n")]);
        sources.folder = folder.to_string();
        check(&sources).len()
    };
    assert_eq!([check("host/core"), check("host/new"), check("guest-sdk")], [1, 1, 1]);
    assert_eq!([check("tests"), check("examples/bank")], [0, 0]);
}
