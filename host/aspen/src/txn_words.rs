//! Words of the text form of transactions: splitting a line, and writing a word back.
//!
//! Words are separated by blanks; `#` at the beginning of a word starts a comment. Bare text stands
//! for itself; between double quotes `\n`, `\r`, `\t`, `\"`, `\'`, `\\` and `\xNN` stand for one byte
//! each, so that everything the other commands print can be pasted. Quoted and bare parts without a
//! blank between them are one word. Promises that [`split`] reads back the text of [`word`].
//! Leaves out the meaning of words (`txn_text.rs`).

use aspen_core::key::{KeyError, ValueError};
use snafu::Snafu;

/// One word of a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// Its bytes, without quotes and with escapes replaced.
    pub bytes: Vec<u8>,
    /// True if a part was in quotes: then the word is no keyword.
    pub is_quoted: bool,
    /// The place of the first `..` outside quotes, which makes the word a range.
    pub dots: Option<usize>,
}

/// The problem of a line.
#[derive(Clone, Debug, PartialEq, Eq, Snafu)]
#[snafu(visibility(pub(crate)))]
pub enum Problem {
    /// Another word is expected at this place.
    #[snafu(display("expected {expected}, found {found}"))]
    Expected {
        /// The word or kind of word expected.
        expected: &'static str,
        /// The word found.
        found: String,
    },
    /// A key outside its limits.
    #[snafu(display("{source}"), context(false))]
    Key { source: KeyError },
    /// A value outside its limits.
    #[snafu(display("{source}"), context(false))]
    Value { source: ValueError },
}

/// Returns the words of a line, up to a comment.
pub fn split(line: &str) -> Result<Vec<Word>, Problem> {
    let mut words = vec![];
    let mut rest = line.as_bytes().trim_ascii_start();
    while rest.first().is_some_and(|first| *first != b'#') {
        let (word, behind) = first_word(rest)?;
        words.push(word);
        rest = behind.trim_ascii_start();
    }
    Ok(words)
}

fn first_word(mut rest: &[u8]) -> Result<(Word, &[u8]), Problem> {
    let mut word = Word::default();
    loop {
        rest = match rest {
            [] => return Ok((word, rest)),
            [byte, ..] if byte.is_ascii_whitespace() => return Ok((word, rest)),
            [b'"', behind @ ..] => {
                word.is_quoted = true;
                read_quoted(behind, &mut word.bytes)?
            }
            [b'.', b'.', behind @ ..] if word.dots.is_none() => {
                word.dots = Some(word.bytes.len());
                word.bytes.extend(b"..");
                behind
            }
            [byte, behind @ ..] => {
                word.bytes.push(*byte);
                behind
            }
        }
    }
}

/// Reads up to the closing quote, and returns the text behind it.
fn read_quoted<'a>(mut rest: &'a [u8], bytes: &mut Vec<u8>) -> Result<&'a [u8], Problem> {
    loop {
        rest = match rest {
            [] => return expected("a closing quote", "the end of the line"),
            [b'"', behind @ ..] => return Ok(behind),
            [b'\\', b'x', high, low, behind @ ..] => {
                let digit = |digit: u8| (digit as char).to_digit(16);
                let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
                    return expected("two hexadecimal digits behind \\x", "something else");
                };
                bytes.push((high << 4 | low) as u8);
                behind
            }
            [b'\\', escaped, behind @ ..] => {
                bytes.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'"' | b'\'' | b'\\' => *escaped,
                    _ => {
                        let escapes = r#"one of \n \r \t \" \' \\ \xNN"#;
                        return expected(escapes, &format!("\\{}", escaped.escape_ascii()));
                    }
                });
                behind
            }
            [byte, behind @ ..] => {
                bytes.push(*byte);
                behind
            }
        }
    }
}

/// Fails because another word is expected.
pub fn expected<T>(expected: &'static str, found: &str) -> Result<T, Problem> {
    ExpectedSnafu { expected, found }.fail()
}

/// Returns bytes as one word: bare if that is easy to read, else in quotes.
pub fn word(bytes: &[u8]) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'#');
    let is_range = bytes.windows(2).any(|pair| pair == b"..");
    let bare = !bytes.is_empty() && bytes.iter().all(is_plain) && !is_range;
    if bare { bytes.escape_ascii().to_string().replace("\\'", "'") } else { quoted(bytes) }
}

/// Returns bytes in quotes.
pub fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii().to_string().replace("\\'", "'"))
}
