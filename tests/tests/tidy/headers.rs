//! Every file begins with a header that says what the file is.

use crate::sources::{Source, assert_none, sources};

fn check(source: &Source) -> Option<String> {
    let first = source.text.lines().next().unwrap_or_default();
    let says_something = first.strip_prefix("//! ").is_some_and(|rest| !rest.trim().is_empty());
    (!says_something).then(|| format!("{}:1: the file has no header", source.path))
}

#[test]
fn every_file_says_what_it_is() {
    assert_none(sources().iter().filter_map(check).collect());
}

#[test]
fn a_file_without_header_is_found() {
    let found = |text: &str| check(&Source { path: "a.rs".into(), text: text.into() });
    assert_eq!(found("//! A key.\n\nstruct Key;\n"), None);
    for text in ["", "struct Key;\n", "//!\n//! A key.\n", "// A key.\n", "/// A key.\n"] {
        assert_eq!(found(text).as_deref(), Some("a.rs:1: the file has no header"), "{text:?}");
    }
}
