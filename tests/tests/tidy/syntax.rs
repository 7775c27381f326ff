//! Syntax for the rules: parsed files, attributes that mark test code, tokens of macros.
//!
//! Promises that line numbers are those of the file. A file that cannot be parsed fails the test, for
//! rustc could not read that file either.

use proc_macro2::{TokenStream, TokenTree};
use syn::punctuated::Punctuated;
use syn::{Attribute, Meta, Token};

/// The syntax of a file.
pub fn parsed(path: &str, text: &str) -> syn::File {
    syn::parse_file(text).unwrap_or_else(|error| {
        panic!("{path}:{}: the file cannot be parsed: {error}", error.span().start().line)
    })
}

/// Returns true if an item with these attributes exists in tests only: `#[test]`, `#[cfg(test)]`, or
/// `#[cfg(all(test, ...))]`. An item of `cfg(any(test, ...))` exists elsewhere too.
pub fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("cfg") => {
            list.parse_args::<Meta>().is_ok_and(|condition| needs_test(&condition))
        }
        _ => false,
    })
}

fn needs_test(condition: &Meta) -> bool {
    match condition {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("all") => {
            let conditions = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
            conditions.is_ok_and(|conditions| conditions.iter().any(needs_test))
        }
        _ => false,
    }
}

/// A path that stands among the tokens of a macro.
#[derive(Debug, PartialEq, Eq)]
pub struct TokenPath {
    pub segments: Vec<String>,
    pub line: usize,
}

/// The paths of two segments or more among `tokens`, however deep in groups: `crate::log::Log`.
pub fn token_paths(tokens: TokenStream) -> Vec<TokenPath> {
    let mut found = vec![];
    let mut path: Option<TokenPath> = None;
    let mut colons = 0;
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => {
                let (segment, line) = (ident.to_string(), ident.span().start().line);
                match &mut path {
                    Some(path) if colons == 2 => path.segments.push(segment),
                    _ => {
                        found.extend(path.take());
                        path = Some(TokenPath { segments: vec![segment], line });
                    }
                }
                colons = 0;
            }
            TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
            TokenTree::Group(group) => {
                found.extend(path.take());
                found.extend(token_paths(group.stream()));
                colons = 0;
            }
            _ => {
                found.extend(path.take());
                colons = 0;
            }
        }
    }
    found.extend(path);
    found.retain(|path| path.segments.len() > 1);
    found
}

#[test]
fn attributes_of_tests_are_told_from_others() {
    let is_found = |text: &str| match &parsed("a.rs", text).items[0] {
        syn::Item::Fn(function) => is_test(&function.attrs),
        _ => panic!("the text is a function"),
    };
    for text in ["#[test]", "#[cfg(test)]", "#[cfg(all(unix, test))]"] {
        assert!(is_found(&format!("{text} fn a() {{}}")), "{text}");
    }
    for text in ["", "#[cfg(any(test, madsim))]", "#[cfg(not(test))]", "#[cfg(madsim)]"] {
        assert!(!is_found(&format!("{text} fn a() {{}}")), "{text}");
    }
}

#[test]
fn paths_are_found_among_tokens() {
    let paths = |text: &str| -> Vec<String> {
        let found = token_paths(text.parse().unwrap());
        found.into_iter().map(|path| path.segments.join("::")).collect()
    };
    assert_eq!(paths("a, crate::log::Log { x: b }, c"), ["crate::log::Log"]);
    assert_eq!(
        paths("select! { x = $crate::wait(super::y()) => self::z }"),
        ["crate::wait", "super::y", "self::z"]
    );
    assert_eq!(paths("let x: y = z; a ? b : c"), [""; 0]);
}
