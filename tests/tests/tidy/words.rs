//! Words that may not stand in a file: those of work that is not done.

use crate::sources::{Source, assert_none, sources};

/// The words, put together here so that this file does not find itself.
fn words() -> [String; 5] {
    [["to", "do!("], ["unimple", "mented!("], ["#[ig", "nore"], ["FIX", "ME"], ["dbg", "!("]]
        .map(|parts| parts.concat())
}

fn check(source: &Source) -> Vec<String> {
    let mut findings = vec![];
    for (line, text) in (1..).zip(source.text.lines()) {
        let found = words().into_iter().filter(|word| text.contains(word));
        findings.extend(found.map(|word| format!("{}:{line}: {word} may not stand", source.path)));
    }
    findings
}

#[test]
fn nothing_is_left_open() {
    assert_none(sources().iter().flat_map(check).collect());
}

#[test]
fn each_word_is_found() {
    for word in words() {
        let text = format!("//! A file.\n\nfn work() {{ {word}) }}\n");
        let found = check(&Source { path: "a.rs".into(), text });
        assert_eq!(found, [format!("a.rs:3: {word} may not stand")]);
    }
}
