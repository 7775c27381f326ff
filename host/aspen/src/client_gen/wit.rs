//! The model from WIT, or from a component, whose types `wit-parser` reads the same way.
//!
//! Promises the types and errors that the upload check has for the same functions. Only types that
//! exported functions use are taken.

use std::collections::BTreeMap;
use std::path::Path;

use aspen_core::function::{Manifest, Type};
use snafu::{OptionExt, ensure};
use wit_component::{DecodedWasm, decode};
use wit_parser::{
    Docs, FunctionKind, Resolve, Type as WitType, TypeDef, TypeDefKind, TypeId, World, WorldItem,
    WorldKey,
};

use crate::client_gen::error::{
    ClientGenError, InterfaceExportSnafu, NoFunctionSnafu, UnsupportedSnafu, WitSnafu,
};
use crate::client_gen::model::{Form, Module, Part, Shape, tuple_problem};

/// Reads a WIT file, or a folder with `deps`.
pub(super) fn from_wit(
    path: &Path,
    wanted: Option<&str>,
    name: Option<&str>,
) -> Result<Module, ClientGenError> {
    let mut resolve = Resolve::default();
    let package = match resolve.push_path(path) {
        Ok((package, _)) => package,
        Err(error) => return WitSnafu { message: resolve.render_error(&error) }.fail(),
    };
    let world = match resolve.select_world(&[package], wanted) {
        Ok(world) => &resolve.worlds[world],
        Err(error) => {
            let is_choice = wanted.is_none() && resolve.packages[package].worlds.len() > 1;
            let remedy = if is_choice { "\nname one with --world" } else { "" };
            return WitSnafu { message: format!("{error}{remedy}") }.fail();
        }
    };
    let id = world.package.map(|package| resolve.id_of_name(package, &world.name));
    let origin = format!("the WIT world `{}`", id.unwrap_or_else(|| world.name.clone()));
    let mut module = Module::new(name.unwrap_or(&world.name), origin)?;
    let package = world.package.map(|package| &resolve.packages[package].docs);
    module.docs = docs(&world.docs).or_else(|| package.and_then(docs));
    read(&resolve, world, module)
}

/// Reads a component that passed the upload check.
pub(super) fn from_component(
    bytes: &[u8],
    manifest: &Manifest,
    name: String,
) -> Result<Module, ClientGenError> {
    let (resolve, world) = match decode(bytes) {
        Ok(DecodedWasm::Component(resolve, world)) => (resolve, world),
        Ok(DecodedWasm::WitPackage(..)) => {
            return WitSnafu { message: "this is WIT in binary form, not a component" }.fail();
        }
        Err(error) => return WitSnafu { message: format!("{error:#}") }.fail(),
    };
    let mut module =
        Module::new(&name, format!("the component\n//! `sha256:{}`", manifest.component))?;
    module.hash = Some(manifest.component);
    read(&resolve, &resolve.worlds[world], module)
}

fn docs(docs: &Docs) -> Option<String> {
    docs.contents.clone()
}

fn read(resolve: &Resolve, world: &World, module: Module) -> Result<Module, ClientGenError> {
    let mut reader = Reader { resolve, module, seen: BTreeMap::new(), function: String::new() };
    for (key, item) in &world.exports {
        match item {
            WorldItem::Function(function) => reader.function(function)?,
            WorldItem::Interface { .. } => {
                let interface = match key {
                    WorldKey::Name(name) => name.clone(),
                    WorldKey::Interface(id) => resolve.id_of(*id).unwrap_or_default(),
                };
                return InterfaceExportSnafu { interface }.fail();
            }
            WorldItem::Type { .. } => {}
        }
    }
    ensure!(!reader.module.functions.is_empty(), NoFunctionSnafu { world: &world.name });
    Ok(reader.module)
}

struct Reader<'a> {
    resolve: &'a Resolve,
    module: Module,
    seen: BTreeMap<TypeId, Shape>,
    /// The function that is being read.
    function: String,
}

impl Reader<'_> {
    fn unsupported<T>(&self, why: &'static str) -> Result<T, ClientGenError> {
        UnsupportedSnafu { function: &self.function, why }.fail()
    }

    fn function(&mut self, function: &wit_parser::Function) -> Result<(), ClientGenError> {
        self.function.clone_from(&function.name);
        match function.kind {
            FunctionKind::Freestanding => {}
            FunctionKind::AsyncFreestanding => return self.unsupported("it is asynchronous"),
            _ => return self.unsupported("it uses a resource"),
        }
        let mut params = vec![];
        for param in &function.params {
            params.push(Part::param(&param.name, self.shape(&param.ty)?));
        }
        let result = self.maybe(&function.result)?;
        self.module.add_function(&function.name, docs(&function.docs), params, result);
        Ok(())
    }

    fn maybe(&mut self, ty: &Option<WitType>) -> Result<Option<Shape>, ClientGenError> {
        ty.as_ref().map(|ty| self.shape(ty)).transpose()
    }

    fn shape(&mut self, ty: &WitType) -> Result<Shape, ClientGenError> {
        Ok(Shape::Leaf(match ty {
            WitType::Bool => Type::Bool,
            WitType::U8 => Type::U8,
            WitType::U16 => Type::U16,
            WitType::U32 => Type::U32,
            WitType::U64 => Type::U64,
            WitType::S8 => Type::S8,
            WitType::S16 => Type::S16,
            WitType::S32 => Type::S32,
            WitType::S64 => Type::S64,
            WitType::F32 => Type::F32,
            WitType::F64 => Type::F64,
            WitType::Char => Type::Char,
            WitType::String => Type::String,
            WitType::ErrorContext => return self.unsupported("it uses an error context"),
            WitType::Id(id) => return self.defined(*id),
        }))
    }

    fn defined(&mut self, id: TypeId) -> Result<Shape, ClientGenError> {
        if let Some(shape) = self.seen.get(&id) {
            return Ok(shape.clone());
        }
        let resolve = self.resolve;
        let def = &resolve.types[id];
        let shape = match &def.kind {
            TypeDefKind::Record(record) => {
                let mut fields = vec![];
                for field in &record.fields {
                    let shape = self.shape(&field.ty)?;
                    fields.push(Part::field(&field.name, docs(&field.docs), Some(shape)));
                }
                self.named(def, Form::Record(fields))?
            }
            TypeDefKind::Variant(variant) => {
                let mut cases = vec![];
                for case in &variant.cases {
                    let shape = self.maybe(&case.ty)?;
                    cases.push(Part::case(&case.name, docs(&case.docs), shape));
                }
                self.named(def, Form::Variant(cases))?
            }
            TypeDefKind::Enum(cases) => {
                let cases = cases.cases.iter();
                let cases = cases.map(|case| Part::case(&case.name, docs(&case.docs), None));
                self.named(def, Form::Enum(cases.collect()))?
            }
            TypeDefKind::Flags(flags) => {
                let flags = flags.flags.iter();
                let flags = flags.map(|flag| Part::field(&flag.name, docs(&flag.docs), None));
                self.named(def, Form::Flags(flags.collect()))?
            }
            _ => {
                let shape = self.structural(&def.kind)?;
                self.alias(def, shape)?
            }
        };
        self.seen.insert(id, shape.clone());
        Ok(shape)
    }

    /// A type that Rust has under a name of its own.
    fn structural(&mut self, kind: &TypeDefKind) -> Result<Shape, ClientGenError> {
        Ok(match kind {
            TypeDefKind::Type(ty) => self.shape(ty)?,
            TypeDefKind::List(element) => Shape::List(Box::new(self.shape(element)?)),
            TypeDefKind::Option(inner) => Shape::Option(Box::new(self.shape(inner)?)),
            TypeDefKind::Result(result) => {
                let ok = self.maybe(&result.ok)?.map(Box::new);
                Shape::Result(ok, self.maybe(&result.err)?.map(Box::new))
            }
            TypeDefKind::Tuple(tuple) => {
                let (function, why) = (&self.function, tuple_problem(tuple.types.len()));
                ensure!(why.is_empty(), UnsupportedSnafu { function, why });
                let parts = tuple.types.iter().map(|part| self.shape(part));
                Shape::Tuple(parts.collect::<Result<_, _>>()?)
            }
            TypeDefKind::Resource | TypeDefKind::Handle(_) => {
                return self.unsupported("it uses a resource");
            }
            TypeDefKind::Future(_) | TypeDefKind::Stream(_) => {
                return self.unsupported("it uses a future or a stream");
            }
            _ => return self.unsupported("it uses a type that Aspen has no values for"),
        })
    }

    /// Another name for a type, unless the type has no name or `use` brought it under its own.
    fn alias(&mut self, def: &TypeDef, shape: Shape) -> Result<Shape, ClientGenError> {
        let is_same = match (&def.kind, &shape, &def.name) {
            (_, _, None) => true,
            (TypeDefKind::Type(WitType::Id(_)), Shape::Named(at), Some(name)) => {
                self.module.types[*at].wit == *name
            }
            _ => false,
        };
        if is_same { Ok(shape) } else { self.named(def, Form::Alias(shape)) }
    }

    fn named(&mut self, def: &TypeDef, form: Form) -> Result<Shape, ClientGenError> {
        let function = &self.function;
        let why = "it uses a record, variant, enum or flags type that has no name";
        let name = def.name.as_ref().context(UnsupportedSnafu { function, why })?;
        if let Form::Record(parts) | Form::Variant(parts) | Form::Enum(parts) | Form::Flags(parts) =
            &form
            && parts.is_empty()
        {
            return self.unsupported("it uses a type without parts");
        }
        self.module.add(name, docs(&def.docs), form)
    }
}
