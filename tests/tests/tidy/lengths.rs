//! Lengths: a file can be read in one sitting, a function on one screen.
//!
//! The length of a function counts its lines from the signature to the closing brace. Leaves out functions
//! among the tokens of a macro: rustfmt does not see them either.

use syn::visit::{self, Visit};
use syn::{Block, Signature};

use crate::sources::{Source, assert_none, sources};
use crate::syntax::parsed;

/// Longest file, tests included.
const FILE_LINES_MAX: usize = 500;

/// Longest function, tests included.
const FUNCTION_LINES_MAX: usize = 70;

fn check_file(source: &Source) -> Option<String> {
    let (path, lines) = (&source.path, source.text.lines().count());
    (lines > FILE_LINES_MAX)
        .then(|| format!("{path}: the file has {lines} lines, limit is {FILE_LINES_MAX}"))
}

fn check_functions(source: &Source) -> Vec<String> {
    let mut functions = Functions { path: &source.path, findings: vec![] };
    functions.visit_file(&parsed(&source.path, &source.text));
    functions.findings
}

struct Functions<'a> {
    path: &'a str,
    findings: Vec<String>,
}

impl Functions<'_> {
    fn measure(&mut self, signature: &Signature, block: &Block) {
        let start = signature.fn_token.span.start().line;
        let lines = block.brace_token.span.close().end().line - start + 1;
        if lines > FUNCTION_LINES_MAX {
            let (path, name) = (self.path, &signature.ident);
            let limit = FUNCTION_LINES_MAX;
            self.findings.push(format!(
                "{path}:{start}: function {name} has {lines} lines, limit is {limit}"
            ));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.measure(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

#[test]
fn files_stay_readable_in_one_sitting() {
    assert_none(sources().iter().filter_map(check_file).collect());
}

#[test]
fn functions_stay_readable_on_one_screen() {
    assert_none(sources().iter().flat_map(check_functions).collect());
}

#[test]
fn a_long_file_is_found() {
    let found = |lines| check_file(&Source { path: "a.rs".into(), text: "//! A.\n".repeat(lines) });
    assert_eq!(found(500), None);
    assert_eq!(found(501).unwrap(), "a.rs: the file has 501 lines, limit is 500");
}

#[test]
fn a_long_function_is_found_wherever_it_stands() {
    let found = |lines: usize, before: &str, after: &str| {
        let body = "    work();\n".repeat(lines - 2);
        let text = format!("//! A file.\n{before}fn long() {{\n{body}}}\n{after}");
        check_functions(&Source { path: "a.rs".into(), text })
    };
    let places = [
        ("", ""),
        ("#[test]\n/// A comment.\npub async ", ""),
        ("impl A {\npub ", "}\n"),
        ("trait A {\n", "}\n"),
        ("mod tests {\n", "}\n"),
    ];
    for (before, after) in places {
        assert_eq!(found(70, before, after), [""; 0], "{before}");
        let line = 2 + before.matches('\n').count();
        let message = format!("a.rs:{line}: function long has 71 lines, limit is 70");
        assert_eq!(found(71, before, after), [message], "{before}");
    }
}
