//! The paths that a module writes down: its `use` trees and the paths of its code, as they stand.
//!
//! Promises to find paths in expressions, types, patterns, attributes and the tokens of macros, in both
//! halves of `cfg(madsim)`. Leaves out code that exists in tests only, and visibilities such as
//! `pub(in crate::log)`, which import nothing. Where a path leads is said by `modules.rs`.

use syn::visit::{self, Visit};
use syn::{Attribute, ItemUse, Meta, UseTree};

use crate::syntax::{is_test, token_paths};

/// A path as it stands in a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenPath {
    /// From the first on, with `crate`, `self` and `super`.
    pub segments: Vec<String>,
    pub line: usize,
}

/// A name that a `use` brings into a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    pub name: String,
    pub path: WrittenPath,
}

/// All that a module writes down.
#[derive(Debug, Default)]
pub struct Imports {
    /// `use a::b::c` and `use a::b::c as name`, wherever in the module.
    pub bindings: Vec<Binding>,
    /// The path before `::*`.
    pub globs: Vec<WrittenPath>,
    /// Paths of the code. Of one segment only those that may name a type.
    pub paths: Vec<WrittenPath>,
}

impl Imports {
    /// Reads the items of one module. Modules inside are left out: each is a module of its own.
    pub fn of(items: &[syn::Item]) -> Imports {
        let mut imports = Imports::default();
        for item in items {
            imports.visit_item(item);
        }
        imports
    }

    fn add_tree(&mut self, before: &[String], tree: &UseTree) {
        let join = |ident: &syn::Ident| [before, &[ident.to_string()]].concat();
        let path = |segments, line| WrittenPath { segments, line };
        match tree {
            UseTree::Path(tree) => self.add_tree(&join(&tree.ident), &tree.tree),
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.add_tree(before, tree));
            }
            UseTree::Glob(glob) => {
                let line = glob.star_token.span.start().line;
                self.globs.push(path(before.to_vec(), line));
            }
            UseTree::Name(name) => self.bind(before, &name.ident, None),
            UseTree::Rename(tree) => self.bind(before, &tree.ident, Some(&tree.rename)),
        }
    }

    /// Adds the leaf of a tree. `use a::b::{self}` binds `b`.
    fn bind(&mut self, before: &[String], leaf: &syn::Ident, rename: Option<&syn::Ident>) {
        let is_self = leaf == "self" && !before.is_empty();
        let segments = match is_self {
            true => before.to_vec(),
            false => [before, &[leaf.to_string()]].concat(),
        };
        let line = leaf.span().start().line;
        let last = segments.last().cloned().unwrap_or_default();
        let name = rename.map_or(last, ToString::to_string);
        self.bindings.push(Binding { name, path: WrittenPath { segments, line } });
    }

    fn add_tokens(&mut self, tokens: proc_macro2::TokenStream) {
        let found = token_paths(tokens).into_iter();
        self.paths
            .extend(found.map(|path| WrittenPath { segments: path.segments, line: path.line }));
    }
}

impl<'ast> Visit<'ast> for Imports {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test(attributes_of(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, _: &'ast syn::ItemMod) {}

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if item.leading_colon.is_none() {
            self.add_tree(&[], &item.tree);
        }
    }

    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_impl_item(&mut self, item: &'ast syn::ImplItem) {
        let attributes = match item {
            syn::ImplItem::Fn(function) => &function.attrs[..],
            _ => &[],
        };
        if !is_test(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> =
            path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let names_type = segments[0].starts_with(char::is_uppercase);
        if path.leading_colon.is_none() && (segments.len() > 1 || names_type) {
            let line = path.segments[0].ident.span().start().line;
            self.paths.push(WrittenPath { segments, line });
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        visit::visit_macro(self, call);
        self.add_tokens(call.tokens.clone());
    }

    /// Attributes hold paths among their tokens and as texts: `#[serde(with = "crate::bytes")]`.
    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        match &attribute.meta {
            Meta::List(list) => {
                self.add_tokens(list.tokens.clone());
                let line = list.path.segments[0].ident.span().start().line;
                let text = list.tokens.to_string();
                for quoted in text.split('"').filter(|text| text.starts_with("crate::")) {
                    let segments = quoted.split("::").map(str::to_string).collect();
                    self.paths.push(WrittenPath { segments, line });
                }
            }
            Meta::Path(_) | Meta::NameValue(_) => {}
        }
    }
}

/// The attributes of an item.
pub fn attributes_of(item: &syn::Item) -> &[Attribute] {
    use syn::Item;
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

#[cfg(test)]
fn read(text: &str) -> Imports {
    Imports::of(&crate::syntax::parsed("a.rs", text).items)
}

#[test]
fn use_trees_are_taken_apart() {
    let imports = read("use a::{self, b::{C, D as E}, f::*};\nfn g() {\n    use super::h;\n}\n");
    let bound = |binding: &Binding| {
        format!("{} = {} at {}", binding.name, binding.path.segments.join("::"), binding.path.line)
    };
    let bound: Vec<String> = imports.bindings.iter().map(bound).collect();
    assert_eq!(bound, ["a = a at 1", "C = a::b::C at 1", "E = a::b::D at 1", "h = super::h at 3"]);
    assert_eq!(imports.globs[0].segments, ["a", "f"]);
}

#[test]
fn paths_of_code_are_found_wherever_they_stand() {
    for text in [
        "fn a() { crate::x::y(); }",
        "fn a(b: crate::x::y) {}",
        "fn a() -> Vec<crate::x::y> { vec![] }",
        "fn a(b: B) { match b { crate::x::y => {} _ => {} } }",
        "fn a(b: B) { match b { crate::x::y { c } => {} } }",
        "impl crate::x::y for A {}",
        "fn a() { <B as crate::x::y>::c(); }",
        "fn a() { assert!(b == crate::x::y); }",
        "macro_rules! a { () => { $crate::x::y } }",
        "a! { b = crate::x::y }",
        "#[serde(with = \"crate::x::y\")]\nstruct A;",
        "struct A { #[serde(with = \"crate::x::y\")] b: u8 }",
        "#[derive(crate::x::y)]\nstruct A;",
        "#[cfg(madsim)]\nfn a() { crate::x::y(); }",
        "#[cfg(not(madsim))]\nfn a() { crate::x::y(); }",
        "const A: u8 = crate::x::y;",
        "trait A: crate::x::y {}",
    ] {
        let found = read(text).paths;
        assert!(
            found
                .iter()
                .any(|path| path.segments.starts_with(&["crate", "x", "y"].map(String::from))),
            "{text}: {found:?}"
        );
    }
}

#[test]
fn code_of_tests_and_other_crates_is_left_out() {
    for text in [
        "#[cfg(test)]\nuse crate::x::y;",
        "#[cfg(test)]\nfn a() { crate::x::y(); }",
        "#[test]\nfn a() { crate::x::y(); }",
        "impl A { #[cfg(test)] fn a() { crate::x::y(); } }",
        "mod b { use crate::x::y; }",
        "use ::x::y;",
        "pub(in crate::x::y) struct a;",
    ] {
        let Imports { bindings, mut paths, .. } = read(text);
        paths.retain(|path| path.segments.len() > 1);
        assert_eq!((bindings, paths), (vec![], vec![]), "{text}");
    }
}
