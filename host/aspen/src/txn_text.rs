//! Transactions as text, for `aspen txn` and golden scripts.
//!
//! ```text
//! read KEY version N | mod N | since N | absent    expectations: all must hold; `since`: neither
//! unchanged PREFIX since N                         written nor removed after revision N
//! unchanged FROM..TO since N                       (TO excluded; either may be left out)
//! if KEY value|version|create|mod|lease =|!=|<|> X
//! then                                             may be left out
//! set KEY VALUE [ttl 30s | lease N | keep]         operations, in order; keep: the lease that it has
//! get KEY
//! delete KEY
//! expire KEY never | keep | ttl 30s | lease N
//! grant ttl 30s
//! keepalive N
//! revoke N
//! else                                             operations done when an expectation fails;
//! ...                                              without it that is a conflict
//! ```
//!
//! One statement a line; words as in `txn_words.rs`; times are 500ms, 30s, 5m, 2h, 1d. Promises that
//! an error names its line and the word expected there. Leaves out the limits of a whole transaction:
//! `aspen_core::transaction::Transact::check` checks them. Printing is in `txn_print.rs`.

use std::vec::IntoIter;

use aspen_core::ids::{LeaseId, Revision, Version};
use aspen_core::key::{Key, KeyRange, Value};
use aspen_core::transaction::{
    Compare, Expectation, Expiry, Operation, Read, Relation, Transact, WriteOp,
};
use snafu::Snafu;

use crate::txn_words::{Problem, Word, expected, split};

const STATEMENT: &str =
    "read, unchanged, if, then, else, set, get, delete, expire, grant, keepalive or revoke";
const EXPECTATIONS_FIRST: &str = "an operation, as expectations come before all of them";

/// A line that is no statement.
#[derive(Clone, Debug, PartialEq, Eq, Snafu)]
#[snafu(display("line {line}: {problem}"))]
pub struct TextError {
    /// Its number, from 1.
    pub line: usize,
    /// The problem of the line.
    pub problem: Problem,
}

/// Reads a transaction whose conflicts bring the present values back.
pub fn parse(text: &str) -> Result<Transact, TextError> {
    let mut transact = Transact { return_values: true, ..Transact::default() };
    let mut part = Part::Expectations;
    for (index, line) in text.lines().enumerate() {
        let done = read_line(line, &mut part, &mut transact);
        done.map_err(|problem| TextError { line: index + 1, problem })?;
    }
    Ok(transact)
}

/// The part of a transaction that a line stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Expectations,
    Then,
    Else,
}

fn read_line(line: &str, part: &mut Part, transact: &mut Transact) -> Result<(), Problem> {
    let mut words = Words(split(line)?.into_iter());
    let Some(first) = words.0.next() else { return Ok(()) };
    match (first.keyword(), *part) {
        ("then", Part::Expectations) => *part = Part::Then,
        ("then", _) => return expected("operations, as `then` comes before all of them", "then"),
        ("else", Part::Else) => return expected("one `else`", "another"),
        ("else", _) => {
            *part = Part::Else;
            transact.otherwise = Some(vec![]);
        }
        ("read" | "unchanged" | "if", Part::Expectations) => {
            transact.reads.push(words.expectation(first.keyword())?);
        }
        ("read" | "unchanged" | "if", _) => return expected(EXPECTATIONS_FIRST, &first.shown()),
        (keyword, Part::Else) => {
            let operation = words.operation(keyword, &first)?;
            transact.otherwise.get_or_insert_default().push(operation);
        }
        (keyword, _) => {
            transact.then.push(words.operation(keyword, &first)?);
            *part = Part::Then;
        }
    }
    words.end()
}

impl Word {
    /// Returns the word if it can be a keyword, else an empty text.
    fn keyword(&self) -> &str {
        if self.is_quoted { "" } else { std::str::from_utf8(&self.bytes).unwrap_or_default() }
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// The rest of a line.
struct Words(IntoIter<Word>);

impl Words {
    fn next(&mut self, wanted: &'static str) -> Result<Word, Problem> {
        self.0.next().map_or_else(|| expected(wanted, "the end of the line"), Ok)
    }

    fn end(&mut self) -> Result<(), Problem> {
        self.0.next().map_or(Ok(()), |word| expected("the end of the line", &word.shown()))
    }

    fn keyword(&mut self, keyword: &'static str) -> Result<(), Problem> {
        let word = self.next(keyword)?;
        if word.keyword() == keyword { Ok(()) } else { expected(keyword, &word.shown()) }
    }

    fn key(&mut self) -> Result<Key, Problem> {
        Ok(Key::new(self.next("a key")?.bytes)?)
    }

    fn value(&mut self) -> Result<Value, Problem> {
        Ok(Value::new(self.next("a value")?.bytes)?)
    }

    fn number(&mut self, wanted: &'static str) -> Result<u64, Problem> {
        let word = self.next(wanted)?;
        word.keyword().parse().or_else(|_| expected(wanted, &word.shown()))
    }

    fn revision(&mut self) -> Result<Revision, Problem> {
        self.number("a revision").map(Revision::new)
    }

    fn lease(&mut self) -> Result<LeaseId, Problem> {
        self.number("the number of a lease").map(LeaseId::new)
    }

    fn ttl(&mut self) -> Result<u64, Problem> {
        let wanted = "a time such as 500ms, 30s, 5m, 2h or 1d";
        let word = self.next(wanted)?;
        parse_ms(word.keyword()).map_or_else(|| expected(wanted, &word.shown()), Ok)
    }

    fn expectation(&mut self, keyword: &str) -> Result<Read, Problem> {
        if keyword == "unchanged" {
            let range = range(self.next("a prefix or a range FROM..TO")?);
            self.keyword("since")?;
            return Ok(Read::range(range, self.revision()?));
        }
        let key = self.key()?;
        let expected = match keyword {
            "if" => Expectation::Compare(self.compare()?),
            _ => self.expected()?,
        };
        Ok(Read::Key { key, expected })
    }

    fn expected(&mut self) -> Result<Expectation, Problem> {
        let wanted = "version, mod, since or absent";
        let word = self.next(wanted)?;
        Ok(match word.keyword() {
            "version" => Expectation::Version(Version::new(self.number("a version")?)),
            "mod" => Expectation::ModRevision(self.revision()?),
            "since" => Expectation::UnchangedSince(self.revision()?),
            "absent" => Expectation::Absent,
            _ => return expected(wanted, &word.shown()),
        })
    }

    fn compare(&mut self) -> Result<Compare, Problem> {
        let wanted = "value, version, create, mod or lease";
        let of = self.next(wanted)?;
        let relation = self.relation()?;
        Ok(match of.keyword() {
            "value" => Compare::Value(relation, self.value()?),
            "version" => Compare::Version(relation, Version::new(self.number("a version")?)),
            "create" => Compare::CreateRevision(relation, self.revision()?),
            "mod" => Compare::ModRevision(relation, self.revision()?),
            "lease" => Compare::Lease(relation, self.lease()?),
            _ => return expected(wanted, &of.shown()),
        })
    }

    fn relation(&mut self) -> Result<Relation, Problem> {
        let wanted = "=, !=, < or >";
        let word = self.next(wanted)?;
        Ok(match word.keyword() {
            "=" => Relation::Equal,
            "!=" => Relation::NotEqual,
            "<" => Relation::Less,
            ">" => Relation::Greater,
            _ => return expected(wanted, &word.shown()),
        })
    }

    fn operation(&mut self, keyword: &str, first: &Word) -> Result<Operation, Problem> {
        Ok(match keyword {
            "set" => {
                let (key, value) = (self.key()?, self.value()?);
                let expiry = self.set_expiry()?;
                WriteOp::Set { key, value, expiry }.into()
            }
            "get" => Operation::Get(self.key()?),
            "delete" => WriteOp::Delete { key: self.key()? }.into(),
            "expire" => {
                let key = self.key()?;
                WriteOp::Expire { key, expiry: self.expiry("never, keep, ttl or lease")? }.into()
            }
            "grant" => {
                self.keyword("ttl")?;
                Operation::Grant { ttl_ms: self.ttl()? }
            }
            "keepalive" => Operation::KeepAlive(self.lease()?),
            "revoke" => Operation::Revoke(self.lease()?),
            _ => return expected(STATEMENT, &first.shown()),
        })
    }

    fn set_expiry(&mut self) -> Result<Expiry, Problem> {
        let is_last = self.0.as_slice().is_empty();
        if is_last { Ok(Expiry::Never) } else { self.expiry("ttl, lease or keep") }
    }

    fn expiry(&mut self, wanted: &'static str) -> Result<Expiry, Problem> {
        let word = self.next(wanted)?;
        Ok(match word.keyword() {
            "never" => Expiry::Never,
            "keep" => Expiry::Keep,
            "ttl" => Expiry::After(self.ttl()?),
            "lease" => Expiry::Lease(self.lease()?),
            _ => return expected(wanted, &word.shown()),
        })
    }
}

fn range(word: Word) -> KeyRange {
    let Some(dots) = word.dots else { return KeyRange::prefix(word.bytes) };
    let (start, end) = (&word.bytes[..dots], &word.bytes[dots + 2..]);
    let range = KeyRange::from(start.to_vec()..);
    if end.is_empty() { range } else { KeyRange { end: Some(end.to_vec().into()), ..range } }
}

/// Reads milliseconds from a text such as `500ms`, `30s`, `5m`, `2h` or `1d`.
pub fn parse_ms(text: &str) -> Option<u64> {
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::txn_print::print;

    #[test]
    fn txn_statement_is_printed_as_it_is_read() {
        for statement in [
            "read a version 3",
            "read a mod 7",
            "read a since 7",
            "read a absent",
            "unchanged p/ since 4",
            "unchanged \"\" since 4",
            "unchanged a..c since 4",
            "unchanged a\".\".. since 4",
            "unchanged \"a b\"..\"\\xff\" since 4",
            "unchanged ..b since 4",
            "if a value = \"two words\"",
            "if a version != 1",
            "if a create < 2",
            "if a mod > 3",
            "if a lease = 0",
            "set a b",
            "set \"\\x00\\\"\\\\\\n\" \"\"",
            "set a b ttl 1500ms",
            "set a b ttl 30s",
            "set a b lease 4",
            "set a b keep",
            "get it's",
            "get \"a..b\"",
            "delete \"#a\"",
            "expire a never",
            "expire a keep",
            "expire a ttl 5m",
            "expire a lease 1",
            "grant ttl 1d",
            "keepalive 4",
            "revoke 4",
        ] {
            let read = parse(statement).unwrap();
            let want = statement.replace("a\".\"..", "\"a.\"..");
            assert_eq!(print(&read), format!("{want}\n"));
            assert_eq!(parse(&print(&read)), Ok(read), "{statement}");
        }
    }

    #[test]
    fn txn_parts_follow_each_other() {
        let text = "# a comment\nread a absent # another\n\n  then\n set\ta  1\nelse\nget a\n";
        let read = parse(text).unwrap();
        let counts =
            |t: &Transact| (t.reads.len(), t.then.len(), t.otherwise.as_ref().map(Vec::len));
        assert_eq!(counts(&read), (1, 1, Some(1)));
        assert!(read.return_values);
        assert_eq!(print(&read), "read a absent\nset a 1\nelse\nget a\n");
        assert_eq!(counts(&parse("").unwrap()), (0, 0, None));
        assert_eq!(counts(&parse("if a version = 1\nelse").unwrap()), (1, 0, Some(0)));
    }

    #[test]
    fn txn_keyword_in_quotes_is_a_key_like_any_other() {
        let read = parse("set then else\nset \"ttl\" ttl ttl 1s").unwrap();
        assert_eq!(print(&read), "set then else\nset ttl ttl ttl 1s\n");
        let quoted = parse("\"set\" a 1").unwrap_err().to_string();
        assert!(quoted.ends_with("found set"), "{quoted}");
    }

    #[test]
    fn txn_error_names_the_line_and_what_should_stand_there() {
        let check = |text: &str, want: &str| {
            assert_eq!(parse(text).unwrap_err().to_string(), want, "{text}");
        };
        let end = "the end of the line";
        check("get a\n\nput a 1", &format!("line 3: expected {STATEMENT}, found put"));
        check("set a", &format!("line 1: expected a value, found {end}"));
        check("get", &format!("line 1: expected a key, found {end}"));
        check("get a b", &format!("line 1: expected {end}, found b"));
        check("set a 1 for 3s", "line 1: expected ttl, lease or keep, found for");
        check("expire a soon", "line 1: expected never, keep, ttl or lease, found soon");
        for time in ["30", "s", "1w", "-1s", "1.5s", "99999999999999999d"] {
            let want = "a time such as 500ms, 30s, 5m, 2h or 1d";
            check(&format!("grant ttl {time}"), &format!("line 1: expected {want}, found {time}"));
        }
        check("read a version x", "line 1: expected a version, found x");
        check("read a is 1", "line 1: expected version, mod, since or absent, found is");
        check("if a value == 1", "line 1: expected =, !=, < or >, found ==");
        check("if a size = 1", "line 1: expected value, version, create, mod or lease, found size");
        check("unchanged p 3", "line 1: expected since, found 3");
        check("revoke x", "line 1: expected the number of a lease, found x");
        check(
            "get a\nread a absent",
            &format!("line 2: expected {EXPECTATIONS_FIRST}, found read"),
        );
        check(
            "then\nthen",
            "line 2: expected operations, as `then` comes before all of them, found then",
        );
        check("else\nelse", "line 2: expected one `else`, found another");
        check("get \"a", &format!("line 1: expected a closing quote, found {end}"));
        check(r#"get "\q""#, r#"line 1: expected one of \n \r \t \" \' \\ \xNN, found \q"#);
        check(
            r#"get "\xg0""#,
            "line 1: expected two hexadecimal digits behind \\x, found something else",
        );
        check("get \"\"", "line 1: key is 0 bytes, allowed are 1 to 1024");
    }
}
