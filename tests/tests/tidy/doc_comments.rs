//! Doc comments begin with a verb or a noun: "Returns", "The retention". "What" and "Whether" are refused.
//!
//! Every comment counts, also that of a file and those among the tokens of a macro. Only the first word of
//! a comment counts, however many lines the comment has.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use crate::sources::{Source, assert_none, sources};

const REFUSED: [&str; 2] = ["What", "Whether"];

/// A line of a doc comment, as the attribute that the line becomes.
struct DocLine {
    line: usize,
    text: String,
}

fn check(source: &Source) -> Vec<String> {
    let tokens: TokenStream = source.text.parse().unwrap_or_else(|error| {
        panic!("{}: the file cannot be read as tokens: {error}", source.path)
    });
    let mut begun = vec![];
    beginnings(tokens, &mut begun);
    let mut findings = vec![];
    for DocLine { line, text } in begun {
        let word = text.trim_start().split(|c: char| !c.is_alphanumeric()).next();
        if let Some(word) = word.filter(|word| REFUSED.contains(word)) {
            let path = &source.path;
            findings.push(format!("{path}:{line}: a doc comment begins with {word:?}"));
        }
    }
    findings
}

/// The first line of each doc comment among `tokens`.
fn beginnings(tokens: TokenStream, begun: &mut Vec<DocLine>) {
    // Inside a comment: of an item, or with `!` of the file.
    let (mut inside, mut is_inner) = (None, false);
    for token in tokens {
        match token {
            TokenTree::Punct(punct) if matches!(punct.as_char(), '#' | '!') => {
                is_inner = punct.as_char() == '!';
            }
            TokenTree::Group(group) => match doc_line(&group) {
                Some(line) => {
                    if inside != Some(is_inner) {
                        begun.push(line);
                    }
                    inside = Some(is_inner);
                }
                None => {
                    inside = None;
                    beginnings(group.stream(), begun);
                }
            },
            _ => inside = None,
        }
    }
}

/// The line that `[doc = "text"]` stands for.
fn doc_line(group: &Group) -> Option<DocLine> {
    if group.delimiter() != Delimiter::Bracket {
        return None;
    }
    let mut tokens = group.stream().into_iter();
    match (tokens.next()?, tokens.next()?, tokens.next()?) {
        (TokenTree::Ident(name), TokenTree::Punct(equals), TokenTree::Literal(text))
            if name == "doc" && equals.as_char() == '=' =>
        {
            let line = text.span().start().line;
            let text: syn::LitStr = syn::parse2(TokenTree::Literal(text).into()).ok()?;
            Some(DocLine { line, text: text.value() })
        }
        _ => None,
    }
}

#[test]
fn doc_comments_begin_with_a_verb_or_a_noun() {
    assert_none(sources().iter().flat_map(check).collect());
}

#[test]
fn a_refused_first_word_is_found_wherever_it_stands() {
    let check = |text: &str| check(&Source { path: "a.rs".into(), text: text.into() });
    let found =
        |line: usize, word: &str| [format!("a.rs:{line}: a doc comment begins with {word:?}")];
    assert_eq!(check("//! What a key is.\n\nstruct Key;\n"), found(1, "What"));
    assert_eq!(check("//! A key.\n\n/// Whether it is.\nstruct Key;\n"), found(3, "Whether"));
    assert_eq!(check("struct Key {\n    /// What it is.\n    is: bool,\n}\n"), found(2, "What"));
    assert_eq!(check("ids! {\n    /// What it is.\n    Key, \"k\"\n}\n"), found(2, "What"));
    assert_eq!(check("/** What it is. */\nstruct Key;\n"), found(1, "What"));
    let later =
        "//! A key.\n//! What it is.\n\n/// Returns it.\n///\n/// Whether or not.\nfn a() {}\n";
    assert_eq!(check(later), [""; 0]);
    assert_eq!(check("// What it is.\nfn a() { b(\"/// What\") }\n"), [""; 0]);
    assert_eq!(check("/// Whatever happens.\nfn a() {}\n"), [""; 0]);
}
