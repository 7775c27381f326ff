//! The words of a script's lines: what a line says before any area reads it.

/// The first word of a line, and the rest.
pub fn first_word(line: &str) -> (&str, &str) {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    (word, rest.trim())
}

/// `N STATEMENT`, N times.
pub fn repeated(text: &str) -> String {
    let (count, statement) = first_word(text);
    let count: u64 = number(count, "times N STATEMENT");
    let one = |n: u64| format!("{}\n", filled(statement).replace("%n", &n.to_string()));
    (0..count).map(one).collect()
}

/// The statement with every `%bytes:N` replaced.
pub fn filled(statement: &str) -> String {
    let word = |word: &str| match word.strip_prefix("%bytes:").and_then(|n| n.parse().ok()) {
        Some(count) => "x".repeat(count),
        None => word.to_string(),
    };
    statement.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// A number, as `usage` wants it.
pub fn number<N: std::str::FromStr>(word: &str, usage: &str) -> N {
    word.parse().unwrap_or_else(|_| panic!("{word:?} is no number: {usage}"))
}

/// A number behind a letter: 3 of `s3`.
pub fn numbered<N: std::str::FromStr>(word: &str, letter: char, usage: &str) -> N {
    let digits = word.strip_prefix(letter);
    number(digits.unwrap_or_else(|| panic!("{word:?} has no {letter}: {usage}")), usage)
}
