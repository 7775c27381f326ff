//! Every limit and price that a text repeats is the one of the code.
//!
//! Texts for people repeat numbers of `limits.rs`, `prices.rs` and others: the WIT file, the SDK, the
//! documents, the help of the CLI. A phrase below has `{}` in the place of each number, and the numbers.
//! A phrase of a file must occur there. A phrase of the documents is checked wherever it occurs, so that
//! documents can be rewritten; a document that words a limit in a new way needs a new phrase here.
//! Leaves out measured figures, and CHANGELOG.md, which tells of earlier versions.

#![cfg(not(madsim))]

use std::path::{Path, PathBuf};

use aspen_core::limits::*;
use aspen_functions::limits::*;
use aspen_functions::prices::*;
use aspen_functions::{COMPILE_CPU_SECONDS, COMPILE_MEMORY_MIB};

/// A phrase, and its numbers as a text shows them.
type Phrase = (&'static str, Vec<String>);

/// Numbers that the documents have at least, all together.
const FOUND_MIN: usize = 80;

/// Shows a number as texts do: `20,000,000`.
fn n(number: impl TryInto<u64>) -> String {
    let number: u64 = number.try_into().ok().expect("limits are not negative");
    let digits = number.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(utf8).collect();
    groups.join(",")
}

fn utf8(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("digits are ASCII")
}

/// Shows a number of bytes as texts do: `64 KiB`.
fn bytes(number: impl TryInto<u64>) -> String {
    let number: u64 = number.try_into().ok().expect("limits are not negative");
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = units.iter().find(|(bits, _)| number.is_multiple_of(1 << bits));
    unit.map_or_else(|| n(number), |(bits, unit)| format!("{} {unit}", n(number >> bits)))
}

fn wit() -> Vec<Phrase> {
    let fuel = "Every call has fuel: {}, or {} if the component is larger than {}.";
    vec![
        (fuel, vec![n(CALL_FUEL_MAX), n(LARGE_CALL_FUEL_MAX), bytes(COMPONENT_BYTES_MAX)]),
        ("a host call costs {}, and {} per byte in and out", vec![n(HOST_CALL_FUEL), n(BYTE_FUEL)]),
        (
            "a scan costs {}, {} per byte, and {} per key that it passes",
            vec![n(SCAN_FUEL), n(BYTE_FUEL), n(SCAN_ENTRY_FUEL)],
        ),
        ("`get-many` costs {}, and the price of a `get` for each key", vec![n(HOST_CALL_FUEL)]),
        (
            "arguments and results cost {} per encoded byte, and {} per value",
            vec![n(BYTE_FUEL), n(VALUE_FUEL)],
        ),
        ("a `list<u8>` costs {} more per byte", vec![n(SLOW_BYTE_FUEL)]),
        (
            "memory costs nothing up to {}, and {} per page of {} beyond",
            vec![bytes(FREE_MEMORY_BYTES), n(MEMORY_PAGE_FUEL), bytes(WASM_PAGE_BYTES)],
        ),
        (
            "A key is 1 to {} bytes, a value 0 to {} bytes.",
            vec![n(KEY_BYTES_MAX), n(VALUE_BYTES_MAX)],
        ),
    ]
}

/// The phrases of every text that describes the functions of `aspen:function`.
fn host_functions() -> Vec<Phrase> {
    vec![
        ("values of up to {} keys", vec![n(KEYS_ASKED_MAX)]),
        (
            "A call writes at most {} keys and {} of keys and values.",
            vec![n(TXN_OPS_MAX), bytes(TXN_BYTES_MAX)],
        ),
    ]
}

fn host_scan() -> Phrase {
    let phrase =
        "A page ends after `limit` keys, after {} keys, or after the key that brings it above {}.";
    (phrase, vec![n(SCAN_ENTRIES_MAX), bytes(SCAN_PAGE_BYTES)])
}

fn host_log() -> Phrase {
    let phrase = "A node keeps the first {} lines of a call, {} bytes of each.";
    (phrase, vec![n(LOG_LINES_MAX), n(LOG_LINE_BYTES_MAX)])
}

/// Texts of one file each, where every phrase must occur.
fn files() -> Vec<(&'static str, Vec<Phrase>)> {
    let bindings = [host_functions(), vec![host_scan(), host_log()]].concat();
    let store = vec![
        (
            "A key is 1 to {} bytes, a value up to {};",
            vec![n(KEY_BYTES_MAX), bytes(VALUE_BYTES_MAX)],
        ),
        ("at most `limit` of them and at most {}.", vec![n(SCAN_ENTRIES_MAX)]),
    ];
    let may_write = || vec![("far below the {} that a call may write", vec![n(TXN_OPS_MAX)])];
    vec![
        ("wit/aspen.wit", [wit(), bindings.clone()].concat()),
        ("examples/bank-c/bindings/bank.h", bindings),
        ("guest-sdk/src/store.rs", [store, host_functions()].concat()),
        ("guest-sdk/src/context.rs", vec![host_log()]),
        (
            "guest-sdk/src/keys.rs",
            vec![("The store takes keys of up to {} bytes", vec![n(KEY_BYTES_MAX)])],
        ),
        ("examples/inventory/src/lib.rs", may_write()),
        ("examples/order-book/src/lib.rs", may_write()),
        (
            "host/functions/src/check/error.rs",
            vec![("which one of more than {} may not have", vec![bytes(COMPONENT_BYTES_MAX)])],
        ),
    ]
}

/// Phrases of the documents and of the CLI's help about functions.
fn documents_on_functions() -> Vec<Phrase> {
    vec![
        ("fuel of a call | {}", vec![n(CALL_FUEL_MAX)]),
        ("{} and {} per byte for each host call", vec![n(HOST_CALL_FUEL), n(BYTE_FUEL)]),
        ("a scan {} and {} per key", vec![n(SCAN_FUEL), n(SCAN_ENTRY_FUEL)]),
        ("{} per value and {} per byte in arguments", vec![n(VALUE_FUEL), n(BYTE_FUEL)]),
        ("each byte of a `list<u8>` costs {} fuel more", vec![n(SLOW_BYTE_FUEL)]),
        (
            "beyond {} each page of {} costs {} fuel",
            vec![bytes(FREE_MEMORY_BYTES), bytes(WASM_PAGE_BYTES), n(MEMORY_PAGE_FUEL)],
        ),
        ("| memory | {}, hard", vec![bytes(GUEST_MEMORY_BYTES_MAX)]),
        ("depth of calls | {} slots", vec![n(GUEST_STACK_SLOTS_MAX)]),
        ("writes of a call | {} keys, {}", vec![n(TXN_OPS_MAX), bytes(TXN_BYTES_MAX)]),
        (
            "| component | {}; {} functions, bodies up to {}, {} locals, {} nested blocks",
            vec![
                bytes(COMPONENT_BYTES_MAX),
                n(FUNCTIONS_MAX),
                bytes(BODY_BYTES_MAX),
                n(LOCALS_MAX),
                n(NESTING_MAX),
            ],
        ),
        ("compiling a component | {} s of CPU, {}", compiling(1, 1)),
        ("s of CPU, 1 GiB | {} s of CPU, {} |", compiling(9, 3)),
        (
            "components, names | {} of each, {} of the components large (below); {} steps of history",
            vec![n(COMPONENTS_MAX), n(LARGE_COMPONENTS_MAX), n(ALIAS_HISTORY_MAX)],
        ),
        ("log lines | {} of {} bytes", vec![n(LOG_LINES_MAX), n(LOG_LINE_BYTES_MAX)]),
        (
            "schedules | {} a shard; arguments up to {}",
            vec![n(SCHEDULES_MAX), bytes(SCHEDULE_ARGS_BYTES_MAX)],
        ),
        ("leaves its parts for {} minutes", vec![n(UPLOAD_IDLE_MS / 60_000)]),
        ("the last {} of each shard", vec![bytes(CALL_NOTES_BYTES_MAX)]),
        ("most {} of the keys that the call looked at", vec![n(QUERY_READS_MAX)]),
        (
            "took more than {} ms of a node's time and {} fuel",
            vec![n(node("HEAVY_TIME")), n(node("HEAVY_FUEL"))],
        ),
    ]
}

/// Phrases of the documents about large components.
fn documents_on_large_components() -> Vec<Phrase> {
    let large_fuel = "| fuel of a call | {} | {}, of which making the instance takes {}, and {} for each segment of its modules, {} for each element, {} for every {} bytes of data |";
    let large_functions = "| functions, largest body, nested blocks | {}, {}, {} | {}, {}, {} |";
    vec![
        ("component of more than {} is **large**", vec![bytes(COMPONENT_BYTES_MAX)]),
        ("component above {} is *large*", vec![bytes(COMPONENT_BYTES_MAX)]),
        (
            "| component | {} | {}, sent in parts of {}",
            vec![
                bytes(COMPONENT_BYTES_MAX),
                bytes(LARGE_COMPONENT_BYTES_MAX),
                bytes(UPLOAD_PART_BYTES_MAX),
            ],
        ),
        ("| on a shard | {} | {} |", vec![n(COMPONENTS_MAX), n(LARGE_COMPONENTS_MAX)]),
        (
            large_fuel,
            vec![
                n(CALL_FUEL_MAX),
                n(LARGE_CALL_FUEL_MAX),
                n(LARGE_INSTANCE_FUEL),
                n(SEGMENT_FUEL),
                n(ELEMENT_FUEL),
                n(1u64),
                n(DATA_BYTES_PER_FUEL),
            ],
        ),
        (
            "| memory | {} | {} |",
            vec![bytes(GUEST_MEMORY_BYTES_MAX), bytes(LARGE_GUEST_MEMORY_BYTES_MAX)],
        ),
        (
            large_functions,
            vec![
                n(FUNCTIONS_MAX),
                bytes(BODY_BYTES_MAX),
                n(NESTING_MAX),
                n(LARGE_FUNCTIONS_MAX),
                bytes(LARGE_BODY_BYTES_MAX),
                n(LARGE_NESTING_MAX),
            ],
        ),
        (
            "| core modules, tables, globals | {}, {}, {} | {}, {}, {} |",
            vec![
                n(CORE_INSTANCES_MAX),
                n(TABLES_MAX),
                n(GLOBALS_MAX),
                n(LARGE_CORE_INSTANCES_MAX),
                n(LARGE_TABLES_MAX),
                n(LARGE_GLOBALS_MAX),
            ],
        ),
        (
            "| depth of calls | {} slots in each module | {} slots, shared",
            vec![n(GUEST_STACK_SLOTS_MAX), n(LARGE_SHARED_SLOTS)],
        ),
        (
            "| calls at once in a process | {} | {} |",
            vec![n(CALLS_AT_ONCE_MAX), n(LARGE_CALLS_AT_ONCE_MAX)],
        ),
    ]
}

/// The limits of a process that compiles, with the factors for a large component (`compile_check.rs`).
fn compiling(time: u64, memory: u64) -> Vec<String> {
    vec![n(time * COMPILE_CPU_SECONDS), bytes((memory * COMPILE_MEMORY_MIB) << 20)]
}

/// Phrases of the documents and of the CLI's help about data, transactions and clusters.
fn documents_on_data() -> Vec<Phrase> {
    let factors = || REPLICATION_FACTORS.map(n).to_vec();
    let transaction = || vec![n(TXN_OPS_MAX), bytes(TXN_BYTES_MAX)];
    vec![
        ("| key, value | {}, {} |", vec![bytes(KEY_BYTES_MAX), bytes(VALUE_BYTES_MAX)]),
        ("| {} operations, {}", transaction()),
        ("| {}, {} operations |", vec![bytes(TXN_BYTES_MAX), n(TXN_OPS_MAX)]),
        ("operations of a transaction (reads and writes) | {} |", vec![n(TXN_OPS_MAX)]),
        ("keys and values of a transaction | {} |", vec![bytes(TXN_BYTES_MAX)]),
        ("range reads of a transaction pass over | {} |", vec![n(RANGE_READ_KEYS_MAX)]),
        ("than the last {} removals", vec![n(TOMBSTONES_MAX)]),
        ("shards of a transaction | {} |", vec![n(TXN_SHARDS_MAX)]),
        ("may touch up to {} shards", vec![n(TXN_SHARDS_MAX)]),
        ("over up to {} shards of one cluster", vec![n(TXN_SHARDS_MAX)]),
        ("| keys of a lease | {} |", vec![n(LEASE_KEYS_MAX)]),
        ("| leases of a shard | {} |", vec![n(LEASES_MAX)]),
        ("requests of one client in flight, for each shard | {} |", vec![n(SESSION_WINDOW)]),
        ("new cluster has {} shards", vec![n(SHARDS_DEFAULT)]),
        ("or `--shards` of them (1 to {})", vec![n(SHARDS_MAX)]),
        ("cluster has 1 to {} shards", vec![n(SHARDS_MAX)]),
        ("| shards | 1 to {}", vec![n(SHARDS_MAX)]),
        ("Shards of a new cluster (1 to {}) [default: {}]", shards_of_new_cluster()),
        (
            "Shards of a new cluster (1 to {}), fixed for life [default: {}]",
            shards_of_new_cluster(),
        ),
        ("as far as there are nodes [default: {}]", vec![n(REPLICATION_FACTOR_DEFAULT)]),
        ("{}, {} or {} replicas", factors()),
        ("{}, {} or {} of each shard", factors()),
        ("new cluster ({}, {} or {})", factors()),
        ("| replicas of a shard | {}, {} or {}", factors()),
        ("up to {} nodes", vec![n(NODES_MAX)]),
        ("| nodes | {} |", vec![n(NODES_MAX)]),
        ("client connections of a node | {} |", vec![n(aspen_net::limits::CLIENT_CONNECTIONS_MAX)]),
        ("consistent scans of a shard at once | {} |", vec![n(node("VIEWS_MAX"))]),
        ("at most {} a second", vec![bytes(node("SNAPSHOT_BYTES_PER_SECOND"))]),
        ("heartbeat every {} ms times", vec![n(node("HEARTBEAT_SHARE"))]),
    ]
}

fn shards_of_new_cluster() -> Vec<String> {
    vec![n(SHARDS_MAX), n(SHARDS_DEFAULT)]
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    let text = std::fs::read_to_string(root().join(path));
    text.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns a limit of the node, which exports none: its number, or milliseconds of a duration.
fn node(name: &str) -> u64 {
    constant("host/node/src/limits.rs", name)
}

/// Returns the value of a constant in a source file: `64`, `1 << 20` or `Duration::from_secs(4)`.
fn constant(path: &str, name: &str) -> u64 {
    let text = read(path);
    let line = text.lines().find(|line| line.contains(&format!("const {name}: ")));
    let line = line.unwrap_or_else(|| panic!("{path} has no {name}"));
    let value = line.split_once(" = ").unwrap().1.trim_end_matches(';').replace('_', "");
    let (value, factor) = match value.trim_end_matches(')').split_once("::from") {
        Some((_, value)) if value.starts_with("secs(") => (value[5..].to_string(), 1000),
        Some((_, value)) => (value["millis(".len()..].to_string(), 1),
        None => (value, 1),
    };
    let (number, shift) = value.split_once(" << ").unwrap_or((&value, "0"));
    factor * (number.parse::<u64>().unwrap() << shift.parse::<u32>().unwrap())
}

/// Returns a text as one line, without the marks of comments.
fn one_line(text: &str) -> String {
    let words = text.split_whitespace();
    words.filter(|word| !["//", "///", "//!"].contains(word)).collect::<Vec<_>>().join(" ")
}

/// Returns the numbers in the places of a phrase that `text` begins with, and the length of it all.
fn match_phrase<'a>(text: &'a str, phrase: &str) -> Option<(usize, Vec<&'a str>)> {
    let (mut rest, mut numbers) = (text, vec![]);
    for (at, part) in phrase.split("{}").enumerate() {
        if at > 0 {
            let number = number(rest)?;
            numbers.push(number);
            rest = &rest[number.len()..];
        }
        rest = rest.strip_prefix(part)?;
    }
    Some((text.len() - rest.len(), numbers))
}

/// Returns the number that a text begins with, and its unit of bytes.
fn number(text: &str) -> Option<&str> {
    let end = text.find(|c| !is_of_number(c)).unwrap_or(text.len());
    let digits = text[..end].trim_end_matches(',');
    let units = [" KiB", " MiB", " GiB"];
    let unit = units.iter().find(|unit| text[digits.len()..].starts_with(**unit));
    let length = digits.len() + unit.map_or(0, |unit| unit.len());
    (!digits.is_empty()).then(|| &text[..length])
}

fn is_of_number(c: char) -> bool {
    c.is_ascii_digit() || c == ','
}

/// Returns where the phrase may begin: at its first words, or at the number before them.
fn starts(text: &str, phrase: &str) -> Vec<usize> {
    let words = phrase.split("{}").find(|part| !part.is_empty()).expect("a phrase has words");
    let is_number_first = phrase.starts_with("{}");
    let start = |(at, _)| match is_number_first {
        true => text[..at].trim_end_matches(is_of_number).len(),
        false => at,
    };
    text.match_indices(words).map(start).collect()
}

/// Compares all occurrences of a phrase. Returns the numbers found, and the errors.
fn compare(path: &str, text: &str, (phrase, right): &Phrase) -> (usize, Vec<String>) {
    let (mut found, mut errors) = (0, vec![]);
    for at in starts(text, phrase) {
        let Some((length, numbers)) = match_phrase(&text[at..], phrase) else { continue };
        found += numbers.len();
        if numbers != *right {
            let (said, right) = (&text[at..at + length], right.join(", "));
            errors.push(format!("{path} says {said:?}; in the code it is {right}"));
        }
    }
    (found, errors)
}

/// Returns all documents, and the sources that hold the CLI's help.
fn documents() -> Vec<(String, String)> {
    let mut folders = ["docs", "examples", "host/aspen/src"].map(PathBuf::from).to_vec();
    let mut files = ["README.md", "ARCHITECTURE.md"].map(String::from).to_vec();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root().join(&folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let path = folder.join(&name);
            let is_text = name.ends_with(".md") || name.ends_with(".rs");
            let is_foreign = ["target", "node_modules"].contains(&&*name);
            if root().join(&path).is_dir() && !is_foreign {
                folders.push(path);
            } else if is_text {
                files.push(path.display().to_string());
            }
        }
    }
    files.into_iter().map(|path| (path.clone(), one_line(&read(&path)))).collect()
}

#[test]
fn numbers_of_wit_and_sdk_are_those_of_the_code() {
    let mut errors = vec![];
    for (path, phrases) in files() {
        let text = one_line(&read(path));
        for phrase in phrases {
            let (found, wrong) = compare(path, &text, &phrase);
            errors.extend(wrong);
            if found == 0 {
                let (words, right) = phrase;
                errors.push(format!("{path} has no {words:?} (with {})", right.join(", ")));
            }
        }
    }
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

#[test]
fn numbers_of_documents_and_help_are_those_of_the_code() {
    let phrases =
        [documents_on_functions(), documents_on_large_components(), documents_on_data()].concat();
    let (mut found, mut errors) = (0, vec![]);
    for (path, text) in documents() {
        for phrase in &phrases {
            let (of_phrase, wrong) = compare(&path, &text, phrase);
            found += of_phrase;
            errors.extend(wrong);
        }
    }
    assert!(errors.is_empty(), "{}", errors.join("\n"));
    assert!(found >= FOUND_MIN, "only {found} numbers are found: the phrases are out of date");
}

/// The SDK depends on no other crate of Aspen, so its harness has the limits as numbers of its own.
#[test]
fn numbers_of_the_harness_are_those_of_the_code() {
    let limits = "guest-sdk/src/testing/limits.rs";
    let check = |path: &str, name: &str, right: usize| {
        let found = constant(path, name);
        assert_eq!(found, right as u64, "{path}: {name} is {found}, in the code it is {right}");
    };
    check(limits, "KEY_BYTES_MAX", KEY_BYTES_MAX);
    check(limits, "VALUE_BYTES_MAX", VALUE_BYTES_MAX);
    check(limits, "WRITES_MAX", TXN_OPS_MAX);
    check(limits, "WRITES_BYTES_MAX", TXN_BYTES_MAX);
    check(limits, "KEYS_ASKED_MAX", KEYS_ASKED_MAX);
    check(limits, "PAGE_ENTRIES_MAX", SCAN_ENTRIES_MAX);
    check(limits, "PAGE_BYTES", SCAN_PAGE_BYTES);
    check(limits, "LOG_LINES_MAX", LOG_LINES_MAX);
    check(limits, "LOG_LINE_BYTES_MAX", LOG_LINE_BYTES_MAX);
    check("guest-sdk/src/range.rs", "PAGE_MAX", SCAN_ENTRIES_MAX);
}

#[test]
fn numbers_that_are_wrong_are_named() {
    let phrase = ("at most {} keys and {}", vec![n(1024u64), bytes(4u64 << 20)]);
    let check = |text: &str, found: usize, error: &str| {
        let (numbers, errors) = compare("a.md", &one_line(text), &phrase);
        assert_eq!((numbers, &*errors.join("\n")), (found, error), "{text}");
    };
    check("/// writes at most 1,024\n/// keys and 4 MiB.", 2, "");
    check("at most 24 keys, and 4 MiB", 0, "");
    let wrong = "a.md says \"at most 1,024 keys and 4 KiB\"; in the code it is 1,024, 4 MiB";
    check("at most 1,024 keys and 4 KiB", 2, wrong);
}
