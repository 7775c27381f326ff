//! Names of WIT as names of Rust: `from-balance` as `from_balance`, `order-state` as `OrderState`.
//!
//! Promises a name that is valid in Rust and not taken in a generated module: a name that is taken gets
//! `_` at its end, as `wit-bindgen` does in functions.

/// Names that no field may have: Rust's keywords, those of later editions too.
pub(super) const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// Further names that no parameter may have: the local variable of every method.
pub(super) const PARAMS: &[&str] = &["call"];

/// Further names that no method may have: the methods that every client has.
pub(super) const METHODS: &[&str] = &["new", "named", "check"];

/// Names that no type may have: the types that a module names without a path.
const TYPES: &[&str] = &["Option", "Result", "Self", "String", "Vec"];

/// Returns the name of a field, parameter or method, which is not one of `reserved`.
pub(super) fn snake(wit: &str, reserved: &[&str]) -> String {
    let mut name = words(wit).map(|word| word.to_ascii_lowercase()).collect::<Vec<_>>().join("_");
    if KEYWORDS.contains(&name.as_str()) || reserved.contains(&name.as_str()) {
        name.push('_');
    }
    name
}

/// Returns the name of a type or case.
pub(super) fn camel(wit: &str) -> String {
    let capital = |word: &str| {
        let (first, rest) = word.split_at(1);
        first.to_ascii_uppercase() + &rest.to_ascii_lowercase()
    };
    let mut name: String = words(wit).map(capital).collect();
    if TYPES.contains(&name.as_str()) {
        name.push('_');
    }
    name
}

/// Returns the words of a name; component names too, which may hold '.', '_' and '/'.
fn words(wit: &str) -> impl Iterator<Item = &str> {
    wit.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_wit_become_names_of_rust() {
        let check = |wit: &str, as_snake: &str, as_camel: &str| {
            assert_eq!((&*snake(wit, METHODS), &*camel(wit)), (as_snake, as_camel));
        };
        check("balance", "balance", "Balance");
        check("from-balance", "from_balance", "FromBalance");
        check("get-URL", "get_url", "GetUrl");
        check("type", "type_", "Type");
        check("self", "self_", "Self_");
        check("new", "new_", "New");
        check("result", "result", "Result_");
        check("a-1", "a_1", "A1");
        check("team/bank_v1.2", "team_bank_v1_2", "TeamBankV12");
    }
}
