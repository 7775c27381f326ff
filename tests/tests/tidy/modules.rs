//! The modules of a crate, and where a path leads: to the file that declares the name.
//!
//! Promises to follow `crate::`, `self::`, `super::`, names brought in by `use`, names re-exported by
//! `pub use` (however often), and globs. A name that no module declares, such as one that a macro makes,
//! leads to the deepest module that its path names. Leaves out other crates.

use std::collections::{BTreeMap, BTreeSet};

use crate::imports::{Imports, WrittenPath, attributes_of};
use crate::sources::CrateSources;
use crate::syntax::{is_test, parsed};

/// The names of the modules from the crate's root on; the root's is empty.
pub type ModulePath = Vec<String>;

/// A module: a file, or a part of one.
#[derive(Debug)]
pub struct Module {
    /// Relative to `src`.
    pub file: String,
    /// `mod` lines in their order, with their lines. Tests are left out.
    pub children: Vec<(String, usize)>,
    /// Names that it declares itself.
    items: BTreeSet<String>,
    pub imports: Imports,
}

/// The modules of one program or library.
#[derive(Debug, Default)]
pub struct ModuleTree {
    pub modules: BTreeMap<ModulePath, Module>,
    /// Macros of `#[macro_export]`, whose path is that of the root, with their modules.
    exported_macros: BTreeMap<String, ModulePath>,
}

/// An import of one file from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    pub from: String,
    pub line: usize,
    /// As it stands in the file.
    pub text: String,
    pub to: String,
    /// The top-level modules of both; none for the root's file.
    pub rooms: (Option<String>, Option<String>),
}

/// The place that a path leads to.
#[derive(Clone, Debug)]
enum Target {
    Module(ModulePath),
    /// Something that this module declares.
    Item(ModulePath),
}

impl Target {
    fn module(&self) -> &ModulePath {
        match self {
            Target::Module(module) | Target::Item(module) => module,
        }
    }
}

/// Names that a search has tried, so that names that mean each other end it.
type Tried = BTreeSet<(ModulePath, String)>;

impl ModuleTree {
    /// The modules that begin with the file `root`, such as `lib.rs`.
    pub fn read(sources: &CrateSources, root: &str) -> ModuleTree {
        let mut tree = ModuleTree::default();
        let folder = root.rfind('/').map_or("", |at| &root[..=at]);
        let syntax = parsed(&sources.path(root), &sources.files[root]);
        tree.add(sources, vec![], root, folder, &syntax.items);
        tree
    }

    /// Adds a module with its children, whose files are in `folder`.
    fn add(
        &mut self,
        sources: &CrateSources,
        path: ModulePath,
        file: &str,
        folder: &str,
        items: &[syn::Item],
    ) {
        let mut children = vec![];
        for item in items {
            let syn::Item::Mod(module) = item else { continue };
            let name = module.ident.to_string();
            if name == "tests" || is_test(&module.attrs) {
                continue;
            }
            children.push((name.clone(), module.mod_token.span.start().line));
            let path = [&path[..], std::slice::from_ref(&name)].concat();
            let inside = format!("{folder}{name}/");
            if let Some((_, items)) = &module.content {
                self.add(sources, path, file, &inside, items);
                continue;
            }
            let files = [format!("{folder}{name}.rs"), format!("{inside}mod.rs")];
            let found = files.into_iter().find(|file| sources.files.contains_key(file));
            let at = sources.path(file);
            let file = found.unwrap_or_else(|| panic!("{at}: module {name} has no file"));
            let syntax = parsed(&sources.path(&file), &sources.files[&file]);
            self.add(sources, path, &file, &inside, &syntax.items);
        }
        let declared = items.iter().filter(|item| !is_test(attributes_of(item)));
        let module = Module {
            file: file.to_string(),
            children,
            items: declared.filter_map(name_of).collect(),
            imports: Imports::of(items),
        };
        for item in items {
            let syn::Item::Macro(syn::ItemMacro { ident: Some(name), attrs, .. }) = item else {
                continue;
            };
            if attrs.iter().any(|attribute| attribute.path().is_ident("macro_export")) {
                self.exported_macros.insert(name.to_string(), path.clone());
            }
        }
        self.modules.insert(path, module);
    }

    /// Every import of a file from another one, sorted.
    pub fn imports(&self) -> Vec<Import> {
        let mut found = BTreeSet::new();
        for (path, module) in &self.modules {
            let Imports { bindings, globs, paths } = &module.imports;
            let bound = bindings.iter().map(|binding| (&binding.path, ""));
            let globs = globs.iter().map(|path| (path, "::*"));
            for (written, suffix) in bound.chain(globs).chain(paths.iter().map(|path| (path, ""))) {
                let Some(target) = self.target(path, &written.segments) else { continue };
                let to = &self.modules[target.module()];
                if to.file != module.file {
                    found.insert(Import {
                        from: module.file.clone(),
                        line: written.line,
                        text: written.segments.join("::") + suffix,
                        to: to.file.clone(),
                        rooms: (path.first().cloned(), target.module().first().cloned()),
                    });
                }
            }
        }
        found.into_iter().collect()
    }

    /// The place that a path in module `from` leads to; none if that is another crate.
    fn target(&self, from: &ModulePath, segments: &[String]) -> Option<Target> {
        self.target_in_scope(from, segments, &mut Tried::new())
    }

    fn target_in_scope(
        &self,
        from: &ModulePath,
        segments: &[String],
        tried: &mut Tried,
    ) -> Option<Target> {
        let (first, rest) = segments.split_first()?;
        match first.as_str() {
            "crate" => self.walk(&vec![], rest, tried),
            "self" => self.walk(from, rest, tried),
            "super" => {
                let (_, parent) = from.split_last()?;
                let parent = parent.to_vec();
                match rest.first().map(String::as_str) {
                    Some("super") => self.target_in_scope(&parent, rest, tried),
                    _ => self.walk(&parent, rest, tried),
                }
            }
            _ => match self.named(from, first, tried)? {
                Target::Module(module) => self.walk(&module, rest, tried),
                item => Some(item),
            },
        }
    }

    /// Follows `segments` from a module on, as far as they lead; none if they lead to another crate.
    fn walk(&self, module: &ModulePath, segments: &[String], tried: &mut Tried) -> Option<Target> {
        let Some((first, rest)) = segments.split_first() else {
            return Some(Target::Module(module.clone()));
        };
        match self.named(module, first, tried) {
            Some(Target::Module(inner)) => self.walk(&inner, rest, tried),
            Some(item) => Some(item),
            None => {
                let bindings = &self.modules.get(module)?.imports.bindings;
                let is_foreign = bindings.iter().any(|binding| binding.name == *first);
                (!is_foreign).then(|| Target::Item(module.clone()))
            }
        }
    }

    /// The meaning of a name in a module: a child, an item, a binding, or a name from a glob.
    fn named(&self, module: &ModulePath, name: &str, tried: &mut Tried) -> Option<Target> {
        let found = self.modules.get(module)?;
        let child = [&module[..], &[name.to_string()]].concat();
        if self.modules.contains_key(&child) {
            return Some(Target::Module(child));
        }
        if found.items.contains(name) {
            return Some(Target::Item(module.clone()));
        }
        if module.is_empty()
            && let Some(home) = self.exported_macros.get(name)
        {
            return Some(Target::Item(home.clone()));
        }
        if !tried.insert((module.clone(), name.to_string())) {
            return None;
        }
        let Imports { bindings, globs, .. } = &found.imports;
        let same = bindings.iter().filter(|binding| binding.name == name);
        let bound =
            same.filter_map(|it| self.target_in_scope(module, &it.path.segments, tried)).next();
        if bound.is_some() {
            return bound;
        }
        let glob = |WrittenPath { segments, .. }: &WrittenPath| match self.target_in_scope(
            module,
            segments,
            &mut tried.clone(),
        )? {
            Target::Module(inner) if inner != *module => self.named(&inner, name, tried),
            _ => None,
        };
        globs.iter().find_map(glob)
    }
}

/// The name that an item declares; none for `use`, `mod`, `impl` and calls of macros.
fn name_of(item: &syn::Item) -> Option<String> {
    use syn::Item;
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

/// Files of a crate, and the imports that must be found in them: `from:line text -> to`.
#[cfg(test)]
fn check(files: &[(&str, &str)], expected: &[&str]) {
    let tree = ModuleTree::read(&CrateSources::of(files), "lib.rs");
    let shown = |it: &Import| format!("{}:{} {} -> {}", it.from, it.line, it.text, it.to);
    let found: Vec<String> = tree.imports().iter().map(shown).collect();
    assert_eq!(found, expected, "{files:?}");
}

#[cfg(test)]
const LIB: (&str, &str) = ("lib.rs", "mod log;\nmod apply;\n");

#[test]
fn paths_lead_to_the_file_that_declares_the_name() {
    let log = ("log.rs", "pub mod writer;\npub use writer::Writer;\npub struct Log;\n");
    let writer = ("log/writer.rs", "pub struct Writer;\npub enum Kind { A }\n");
    let room = "log.rs:2 writer::Writer -> log/writer.rs";
    for (text, target) in [
        ("use crate::log::Log;", "crate::log::Log -> log.rs"),
        ("use crate::log::Writer;", "crate::log::Writer -> log/writer.rs"),
        ("use crate::log::writer::Writer;", "crate::log::writer::Writer -> log/writer.rs"),
        ("use super::log::Writer as W;", "super::log::Writer -> log/writer.rs"),
        ("use crate::log::writer::*;", "crate::log::writer::* -> log/writer.rs"),
        ("fn a(b: crate::log::Writer) {}", "crate::log::Writer -> log/writer.rs"),
        ("fn a() { crate::log::Writer::new() }", "crate::log::Writer::new -> log/writer.rs"),
        ("fn a() { use super::log; }", "super::log -> log.rs"),
        ("fn a() { b!(crate::log::writer::Made) }", "crate::log::writer::Made -> log/writer.rs"),
        ("mod b { use super::super::log; }", "super::super::log -> log.rs"),
    ] {
        let import = format!("apply.rs:1 {target}");
        check(&[LIB, log, writer, ("apply.rs", text)], &[&import, room]);
    }
}

#[test]
fn names_that_were_brought_in_are_followed() {
    let log = ("log.rs", "pub mod writer;\n");
    let writer = ("log/writer.rs", "pub struct Writer;\n");
    let module = "use crate::log::writer;\nfn a() { writer::Writer::new() }\n";
    check(
        &[LIB, log, writer, ("apply.rs", module)],
        &[
            "apply.rs:1 crate::log::writer -> log/writer.rs",
            "apply.rs:2 writer::Writer::new -> log/writer.rs",
        ],
    );
    let parent = "use crate::log::writer::Writer;\nmod b;\n";
    let child = "use super::*;\nfn a() -> Writer { Writer }\n";
    check(
        &[LIB, log, writer, ("apply.rs", parent), ("apply/b.rs", child)],
        &[
            "apply.rs:1 crate::log::writer::Writer -> log/writer.rs",
            "apply/b.rs:1 super::* -> apply.rs",
            "apply/b.rs:2 Writer -> log/writer.rs",
        ],
    );
}

#[test]
fn names_re_exported_at_the_root_are_followed() {
    let lib = ("lib.rs", "mod log;\nmod apply;\npub use log::{Log, other::*};\n");
    let log = ("log.rs", "pub mod other;\npub struct Log;\n");
    let other = ("log/other.rs", "pub struct Other;\n");
    let files = [lib, log, other, ("apply.rs", "use crate::{Log, Other};\n")];
    check(
        &files,
        &[
            "apply.rs:1 crate::Log -> log.rs",
            "apply.rs:1 crate::Other -> log/other.rs",
            "lib.rs:3 log::Log -> log.rs",
            "lib.rs:3 log::other::* -> log/other.rs",
        ],
    );
}

#[test]
fn other_crates_tests_and_names_that_mean_each_other_lead_nowhere() {
    let log = ("log.rs", "");
    let lib = ("lib.rs", "mod log;\nmod apply;\npub use bytes::Bytes;\n");
    for text in [
        "use std::log::Log;",
        "use bytes::Bytes;\nfn a() { Bytes::new() }",
        "#[cfg(test)]\nmod tests { use crate::log::Log; }",
        "mod tests { use crate::log::Log; }",
        "use a as b;\nuse b as a;\nfn c() { a::d() }",
        "use self::*;\nfn c() { a::d() }",
        "use crate::Bytes;",
    ] {
        check(&[lib, log, ("apply.rs", text)], &[]);
    }
}

#[test]
fn exported_macros_are_those_of_their_file() {
    let log = ("log.rs", "#[macro_export]\nmacro_rules! note { () => {} }\n");
    let text = "fn a() { crate::note!() }";
    check(&[LIB, log, ("apply.rs", text)], &["apply.rs:1 crate::note -> log.rs"]);
}
