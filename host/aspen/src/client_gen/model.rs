//! A client before it is written: its types and functions, with their names in WIT and in Rust.
//!
//! Promises that every name is valid in Rust, and that no two types share a name.

use std::collections::BTreeMap;

use aspen_core::function::{Field, FunctionSignature, Type};
use aspen_core::ids::ComponentHash;

use crate::client_gen::error::{BadNameSnafu, ClientGenError, SameNameSnafu};
use crate::client_gen::names::{self, camel, snake};

/// A module.
pub(super) struct Module {
    /// The source, for the header of the module.
    pub(super) origin: String,
    /// The comment of the component.
    pub(super) docs: Option<String>,
    /// The name that calls use.
    pub(super) component: String,
    /// The struct of the component.
    pub(super) client: String,
    /// The component that the module is made from; `None` for WIT.
    pub(super) hash: Option<ComponentHash>,
    /// Types that functions use, each after its parts.
    pub(super) types: Vec<NamedType>,
    /// The functions in declared order.
    pub(super) functions: Vec<Function>,
    /// The WIT name of each Rust name.
    taken: BTreeMap<String, String>,
}

/// A type that has a name.
pub(super) struct NamedType {
    pub(super) wit: String,
    pub(super) rust: String,
    pub(super) docs: Option<String>,
    pub(super) form: Form,
}

/// The form of a named type.
pub(super) enum Form {
    Record(Vec<Part>),
    Variant(Vec<Part>),
    Enum(Vec<Part>),
    Flags(Vec<Part>),
    Alias(Shape),
}

/// A field, a case, a flag or a parameter.
pub(super) struct Part {
    pub(super) wit: String,
    pub(super) rust: String,
    pub(super) docs: Option<String>,
    /// Its type; `None` for flags and for cases without a payload.
    pub(super) shape: Option<Shape>,
}

/// A type where it is used.
#[derive(Clone)]
pub(super) enum Shape {
    /// One without parts.
    Leaf(Type),
    List(Box<Shape>),
    Option(Box<Shape>),
    Result(Option<Box<Shape>>, Option<Box<Shape>>),
    Tuple(Vec<Shape>),
    /// An index into [`Module::types`].
    Named(usize),
}

/// A function.
pub(super) struct Function {
    pub(super) wit: String,
    pub(super) rust: String,
    pub(super) docs: Option<String>,
    pub(super) params: Vec<Part>,
    pub(super) result: Option<Shape>,
}

impl Part {
    pub(super) fn field(wit: &str, docs: Option<String>, shape: Option<Shape>) -> Part {
        Part { wit: wit.into(), rust: snake(wit, names::KEYWORDS), docs, shape }
    }

    pub(super) fn param(wit: &str, shape: Shape) -> Part {
        let rust = snake(wit, names::PARAMS);
        Part { wit: wit.into(), rust, docs: None, shape: Some(shape) }
    }

    pub(super) fn case(wit: &str, docs: Option<String>, shape: Option<Shape>) -> Part {
        Part { wit: wit.into(), rust: camel(wit), docs, shape }
    }
}

impl Module {
    /// A module without types and functions.
    pub(super) fn new(component: &str, origin: String) -> Result<Module, ClientGenError> {
        let client = camel(component);
        let is_good = aspen_core::ids::Name::new(component).is_ok() && !client.is_empty();
        snafu::ensure!(is_good, BadNameSnafu { name: component });
        let taken = BTreeMap::from([(client.clone(), format!("the client of {component}"))]);
        let (component, docs, hash) = (component.to_string(), None, None);
        Ok(Module {
            origin,
            docs,
            component,
            client,
            hash,
            types: vec![],
            functions: vec![],
            taken,
        })
    }

    /// Adds a type.
    pub(super) fn add(
        &mut self,
        wit: &str,
        docs: Option<String>,
        form: Form,
    ) -> Result<Shape, ClientGenError> {
        if let Form::Variant(cases) | Form::Enum(cases) = &form {
            distinct(wit, cases)?;
        }
        let rust = camel(wit);
        let second = format!("type {wit}");
        if let Some(first) = self.taken.insert(rust.clone(), second.clone()) {
            let remedy = ": give the client another name with --name, or rename a type";
            return SameNameSnafu { first, second, rust, remedy }.fail();
        }
        self.types.push(NamedType { wit: wit.into(), rust, docs, form });
        Ok(Shape::Named(self.types.len() - 1))
    }

    /// Adds a function.
    pub(super) fn add_function(
        &mut self,
        wit: &str,
        docs: Option<String>,
        params: Vec<Part>,
        result: Option<Shape>,
    ) {
        let rust = snake(wit, names::METHODS);
        self.functions.push(Function { wit: wit.into(), rust, docs, params, result });
    }

    /// Returns the type behind names that only stand for another type.
    pub(super) fn behind<'a>(&'a self, mut shape: &'a Shape) -> &'a Shape {
        while let Shape::Named(at) = shape
            && let Form::Alias(other) = &self.types[*at].form
        {
            shape = other;
        }
        shape
    }

    /// Returns true if a type holds a float, which has neither order nor hash.
    pub(super) fn has_float(&self, shape: &Shape) -> bool {
        let any = |parts: &[Part]| parts.iter().any(|part| part.has_float(self));
        let maybe = |shape: &Option<Box<Shape>>| shape.as_ref().is_some_and(|s| self.has_float(s));
        match shape {
            Shape::Leaf(ty) => matches!(ty, Type::F32 | Type::F64),
            Shape::List(inner) | Shape::Option(inner) => self.has_float(inner),
            Shape::Result(ok, err) => maybe(ok) || maybe(err),
            Shape::Tuple(parts) => parts.iter().any(|part| self.has_float(part)),
            Shape::Named(at) => match &self.types[*at].form {
                Form::Record(parts) | Form::Variant(parts) => any(parts),
                Form::Enum(_) | Form::Flags(_) => false,
                Form::Alias(shape) => self.has_float(shape),
            },
        }
    }

    /// Returns a function's types as `describe` has them, without the names of types.
    pub(super) fn signature(&self, function: &Function) -> FunctionSignature {
        FunctionSignature {
            name: function.wit.clone(),
            params: self.fields(&function.params),
            result: function.result.as_ref().map(|shape| self.ty(shape)),
        }
    }

    fn fields(&self, parts: &[Part]) -> Vec<Field> {
        let field = |part: &Part| {
            let ty = part.shape.as_ref().map(|shape| self.ty(shape));
            Some(Field { name: part.wit.clone(), ty: ty? })
        };
        parts.iter().filter_map(field).collect()
    }

    fn ty(&self, shape: &Shape) -> Type {
        let boxed = |shape: &Shape| Box::new(self.ty(shape));
        let maybe = |shape: &Option<Box<Shape>>| shape.as_deref().map(boxed);
        let names = |parts: &[Part]| parts.iter().map(|part| part.wit.clone()).collect();
        match shape {
            Shape::Leaf(ty) => ty.clone(),
            Shape::List(inner) => Type::List(boxed(inner)),
            Shape::Option(inner) => Type::Option(boxed(inner)),
            Shape::Result(ok, err) => Type::Result(maybe(ok), maybe(err)),
            Shape::Tuple(parts) => Type::Tuple(parts.iter().map(|part| self.ty(part)).collect()),
            Shape::Named(at) => match &self.types[*at].form {
                Form::Record(fields) => Type::Record(self.fields(fields)),
                Form::Variant(cases) => {
                    let case = |case: &Part| {
                        (case.wit.clone(), case.shape.as_ref().map(|shape| self.ty(shape)))
                    };
                    Type::Variant(cases.iter().map(case).collect())
                }
                Form::Enum(cases) => Type::Enum(names(cases)),
                Form::Flags(flags) => Type::Flags(names(flags)),
                Form::Alias(shape) => self.ty(shape),
            },
        }
    }
}

impl Part {
    fn has_float(&self, module: &Module) -> bool {
        self.shape.as_ref().is_some_and(|shape| module.has_float(shape))
    }
}

/// Returns the reason why a tuple cannot have this number of parts; empty if it can. Rust's own traits,
/// such as `Debug`, end at 12.
pub(super) fn tuple_problem(parts: usize) -> &'static str {
    match parts {
        0 => "it uses a tuple without parts",
        1..=12 => "",
        _ => "it uses a tuple of more than 12 parts: make it a record",
    }
}

/// Checks that cases have distinct names in Rust: `a-1` and `a1` are one.
fn distinct(wit: &str, cases: &[Part]) -> Result<(), ClientGenError> {
    let mut seen = BTreeMap::new();
    for case in cases {
        let second = format!("case {} of {wit}", case.wit);
        if let Some(first) = seen.insert(&case.rust, second.clone()) {
            return SameNameSnafu { first, second, rust: &case.rust, remedy: "" }.fail();
        }
    }
    Ok(())
}
