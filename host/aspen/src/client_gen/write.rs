//! Writes a module as Rust.
//!
//! Promises text that rustfmt leaves as it is, with its own settings and with this repository's: each
//! statement is one short line. Long text stands inside the braces of `wit!`, where rustfmt changes
//! nothing, or is marked. Refers to `aspen_client` alone, by paths that no name of WIT can hide.

use std::fmt::Write;

use aspen_core::function::Type;

use crate::client_gen::model::{Form, Function, Module, NamedType, Part, Shape};

/// The longest line of rustfmt, which breaks longer signatures.
const COLUMNS: usize = 100;

/// Returns the text of a module.
pub(super) fn module(module: &Module) -> String {
    let mut out = Writer { module, text: String::new() };
    out.header();
    out.client();
    for named in &module.types {
        out.named(named);
    }
    out.signatures();
    out.text
}

struct Writer<'a> {
    module: &'a Module,
    text: String,
}

impl Writer<'_> {
    fn line(&mut self, indent: usize, text: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{:indent$}{text}", "");
    }

    fn lines(&mut self, indent: usize, lines: &[&str]) {
        for line in lines {
            match line.is_empty() {
                true => self.text.push('\n'),
                false => self.line(indent, line),
            }
        }
    }

    fn header(&mut self) {
        let Module { component, origin, .. } = self.module;
        let made = format!(
            "//! A typed client of `{component}`. Written by `aspen client-gen`: make it again \
             instead of changing it.\n//!\n//! Made from {origin}.\n"
        );
        self.text.push_str(&made);
        self.lines(
            0,
            &[
                "",
                "#![allow(dead_code, reason = \"a program need not use all of it\")]",
                "#![allow(missing_docs, rustdoc::all, reason = \"comments are those of the WIT\")]",
                "#![allow(clippy::all, reason = \"so are names and shapes\")]",
                "",
                "use aspen_client::typed;",
                "",
            ],
        );
    }

    fn client(&mut self) {
        let Module { component, client, hash, functions, docs, .. } = self.module;
        if let Some(hash) = hash {
            self.line(
                0,
                "/// The component that this was made from. As a name it means no other one.",
            );
            self.line(0, "pub const COMPONENT: &str =");
            self.line(4, &format!("\"sha256:{hash}\";"));
            self.text.push('\n');
        }
        self.docs(0, docs.as_ref());
        self.line(0, "#[derive(Clone)]");
        self.line(0, &format!("pub struct {client} {{"));
        self.lines(4, &["component: typed::Component,"]);
        self.lines(0, &["}", ""]);
        self.line(0, &format!("impl {client} {{"));
        self.line(4, &format!("/// Calls the component that is uploaded as `{component}`."));
        self.line(4, "pub fn new(client: aspen_client::Client) -> Self {");
        self.line(8, &format!("Self::named(client, \"{component}\")"));
        self.lines(
            4,
            &[
                "}",
                "",
                "/// Calls the one of another name, or of a text like `sha256:9f86d0...`.",
                "pub fn named(client: aspen_client::Client, name: &str) -> Self {",
                "    let component = typed::Component::new(client, name);",
                "    Self { component }",
                "}",
                "",
                "/// Asks the cluster whether the component has the functions that this was made for.",
                "pub async fn check(&self) -> Result<(), typed::CheckError> {",
                "    self.component.check(SIGNATURES).await",
                "}",
            ],
        );
        for function in functions {
            self.text.push('\n');
            self.function(function);
        }
        self.line(0, "}");
    }

    fn function(&mut self, function: &Function) {
        let Function { wit, rust, docs, params, .. } = function;
        self.docs(4, docs.as_ref());
        let start = self.text.len();
        let param = |part: &Part| {
            let ty = part.shape.as_ref().map(|shape| self.borrowed(shape));
            format!("{}: {}", part.rust, ty.unwrap_or_default())
        };
        let mut typed = vec!["&self".to_string()];
        typed.extend(params.iter().map(param));
        let returns = self.returns(function);
        let one_line = format!("pub fn {rust}({}) -> {returns} {{", typed.join(", "));
        if 4 + one_line.chars().count() <= COLUMNS {
            self.line(4, &one_line);
        } else {
            self.line(4, &format!("pub fn {rust}("));
            for param in typed {
                self.line(8, &format!("{param},"));
            }
            self.line(4, &format!(") -> {returns} {{"));
        }
        if params.is_empty() {
            self.line(8, &format!("self.component.call(\"{wit}\")"));
        } else {
            self.line(8, &format!("let mut call = self.component.call(\"{wit}\");"));
            for part in params {
                self.line(8, &format!("call.arg({});", part.rust));
            }
            self.line(8, "call");
        }
        self.line(4, "}");
        self.skip_long(4, start);
    }

    /// Keeps rustfmt away from a type that is too long for a line: the place of its breaks would depend on
    /// rustfmt's settings.
    fn skip_long(&mut self, indent: usize, start: usize) {
        let is_code = |line: &&str| !line.trim_start().starts_with("///");
        let mut code = self.text[start..].lines().filter(is_code);
        if code.any(|line| line.chars().count() > COLUMNS) {
            self.text.insert_str(start, &format!("{:indent$}#[rustfmt::skip]\n", ""));
        }
    }

    /// Returns `typed::Call<T, E>`, or `typed::Call<T>` for a function that returns no `result`.
    fn returns(&self, function: &Function) -> String {
        let payload = |shape: &Option<Box<Shape>>| {
            shape.as_ref().map_or("()".into(), |shape| self.owned(shape))
        };
        let (ok, err) = match function.result.as_ref().map(|shape| self.module.behind(shape)) {
            None => ("()".into(), None),
            Some(Shape::Result(ok, err)) => (payload(ok), Some(payload(err))),
            // The name in the WIT, not the type behind it.
            Some(_) => (function.result.as_ref().map_or("()".into(), |s| self.owned(s)), None),
        };
        // Without an error type the default is one that has no values.
        err.map_or_else(|| format!("typed::Call<{ok}>"), |err| format!("typed::Call<{ok}, {err}>"))
    }

    fn named(&mut self, named: &NamedType) {
        let NamedType { wit, rust, docs, form } = named;
        self.text.push('\n');
        self.docs(0, docs.as_ref());
        let start = self.text.len();
        let (form, parts) = match form {
            Form::Alias(shape) => {
                let ty = self.owned(shape);
                self.line(0, &format!("pub type {rust} = {ty};"));
                return self.skip_long(0, start);
            }
            Form::Record(parts) => ("record", parts),
            Form::Variant(parts) => ("variant", parts),
            Form::Enum(parts) => ("enum", parts),
            Form::Flags(parts) => ("flags", parts),
        };
        let is_struct = matches!(form, "record" | "flags");
        let mut shapes = parts.iter().filter_map(|part| part.shape.as_ref());
        let has_float = shapes.any(|shape| self.module.has_float(shape));
        let traits = match form {
            "flags" => "Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash",
            "enum" => "Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash",
            _ if has_float => "Clone, Debug, PartialEq",
            _ => "Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash",
        };
        self.line(0, &format!("#[derive({traits})]"));
        let keyword = if is_struct { "struct" } else { "enum" };
        self.line(0, &format!("pub {keyword} {rust} {{"));
        for Part { rust, docs, shape, .. } in parts {
            self.docs(4, docs.as_ref());
            let ty = shape.as_ref().map(|shape| self.owned(shape));
            let text = match (is_struct, ty) {
                (true, ty) => format!("pub {rust}: {},", ty.unwrap_or("bool".into())),
                (false, Some(ty)) => format!("{rust}({ty}),"),
                (false, None) => format!("{rust},"),
            };
            self.line(4, &text);
        }
        self.line(0, "}");
        self.skip_long(0, start);
        self.lines(0, &["", "aspen_client::wit! {"]);
        self.line(4, &format!("{form} {rust} = \"{wit}\" {{"));
        for Part { wit, rust, shape, .. } in parts {
            let payload = if !is_struct && shape.is_some() { "(payload)" } else { "" };
            self.line(8, &format!("{rust}{payload} = \"{wit}\","));
        }
        self.lines(0, &["    }", "}"]);
    }

    fn signatures(&mut self) {
        self.lines(0, &["", "aspen_client::wit! {", "    functions SIGNATURES {"]);
        for function in &self.module.functions {
            self.line(8, &format!("\"{}\",", self.module.signature(function)));
        }
        self.lines(0, &["    }", "}"]);
    }

    /// Returns an owned type.
    fn owned(&self, shape: &Shape) -> String {
        let payload = |shape: &Option<Box<Shape>>| {
            shape.as_ref().map_or("()".into(), |shape| self.owned(shape))
        };
        match shape {
            Shape::Leaf(ty) => leaf(ty).into(),
            Shape::List(element) => format!("Vec<{}>", self.owned(element)),
            Shape::Option(inner) => format!("Option<{}>", self.owned(inner)),
            Shape::Result(ok, err) => format!("Result<{}, {}>", payload(ok), payload(err)),
            Shape::Tuple(parts) => match &parts[..] {
                [part] => format!("({},)", self.owned(part)),
                parts => {
                    let parts: Vec<String> = parts.iter().map(|part| self.owned(part)).collect();
                    format!("({})", parts.join(", "))
                }
            },
            Shape::Named(at) => self.module.types[*at].rust.clone(),
        }
    }

    /// Returns a type of a parameter: text and bytes are borrowed, as they are copied anyway.
    fn borrowed(&self, shape: &Shape) -> String {
        match shape {
            Shape::Leaf(Type::String) => "&str".into(),
            Shape::List(element) if matches!(**element, Shape::Leaf(Type::U8)) => "&[u8]".into(),
            Shape::Option(inner) => format!("Option<{}>", self.borrowed(inner)),
            shape => self.owned(shape),
        }
    }

    /// Writes a comment of the WIT. Code in it is not Rust, and rustdoc must not run it.
    fn docs(&mut self, indent: usize, docs: Option<&String>) {
        let mut is_code = false;
        for line in docs.into_iter().flat_map(|docs| docs.trim_end().lines()) {
            let (line, bare) = (line.trim_end(), line.trim());
            let is_fence = bare.starts_with("```") || bare.starts_with("~~~");
            let line = match (is_fence, is_code) {
                (true, false) => format!("{}text", &bare[..3]),
                (false, false) => bare.into(),
                (_, true) => line.into(),
            };
            is_code ^= is_fence;
            match line.is_empty() {
                true => self.line(indent, "///"),
                false => self.line(indent, &format!("/// {line}")),
            }
        }
    }
}

/// Returns the Rust type of a type without parts.
#[expect(clippy::unreachable, reason = "no Shape::Leaf holds a type with parts")]
fn leaf(ty: &Type) -> &'static str {
    match ty {
        Type::Bool => "bool",
        Type::S8 => "i8",
        Type::U8 => "u8",
        Type::S16 => "i16",
        Type::U16 => "u16",
        Type::S32 => "i32",
        Type::U32 => "u32",
        Type::S64 => "i64",
        Type::U64 => "u64",
        Type::F32 => "f32",
        Type::F64 => "f64",
        Type::Char => "char",
        Type::String => "String",
        _ => unreachable!("{ty} has parts"),
    }
}
