//! The model from a cluster's description of a component: types without names.
//!
//! A type is named after the first place where it stands: `transfer-ok` is the result of `transfer`,
//! `transfer-to` its parameter `to`. Equal types are one type.

use aspen_core::function::{Field, Manifest, Type};
use snafu::ensure;

use crate::client_gen::error::{ClientGenError, UnsupportedSnafu};
use crate::client_gen::model::{Form, Module, Part, Shape, tuple_problem};

/// Reads a component's description.
pub(super) fn from_manifest(manifest: &Manifest, name: &str) -> Result<Module, ClientGenError> {
    let origin = format!("the uploaded component\n//! `sha256:{}`", manifest.component);
    let mut module = Module::new(name, origin)?;
    module.hash = Some(manifest.component);
    let mut reader = Reader { module, seen: vec![] };
    for function in &manifest.functions {
        let mut params = vec![];
        for Field { name, ty } in &function.params {
            let shape = reader.shape(ty, &format!("{}-{name}", function.name))?;
            params.push(Part::param(name, shape));
        }
        let result = function.result.as_ref();
        let result = result.map(|ty| reader.shape(ty, &function.name)).transpose()?;
        reader.module.add_function(&function.name, None, params, result);
    }
    Ok(reader.module)
}

struct Reader {
    module: Module,
    seen: Vec<(Type, Shape)>,
}

impl Reader {
    /// Returns the type at a place.
    fn shape(&mut self, ty: &Type, place: &str) -> Result<Shape, ClientGenError> {
        if let Some((_, shape)) = self.seen.iter().find(|(seen, _)| seen == ty) {
            return Ok(shape.clone());
        }
        let Some(form) = self.form(ty, place)? else { return self.structural(ty, place) };
        let shape = self.module.add(place, None, form)?;
        self.seen.push((ty.clone(), shape.clone()));
        Ok(shape)
    }

    fn maybe(&mut self, ty: Option<&Type>, place: &str) -> Result<Option<Shape>, ClientGenError> {
        ty.map(|ty| self.shape(ty, place)).transpose()
    }

    /// Returns a type that Rust itself has a name for.
    fn structural(&mut self, ty: &Type, place: &str) -> Result<Shape, ClientGenError> {
        Ok(match ty {
            Type::List(element) => Shape::List(Box::new(self.shape(element, place)?)),
            Type::Option(inner) => Shape::Option(Box::new(self.shape(inner, place)?)),
            Type::Result(ok, err) => {
                let ok = self.maybe(ok.as_deref(), &format!("{place}-ok"))?.map(Box::new);
                let err = self.maybe(err.as_deref(), &format!("{place}-err"))?.map(Box::new);
                Shape::Result(ok, err)
            }
            Type::Tuple(types) => {
                let why = tuple_problem(types.len());
                ensure!(why.is_empty(), UnsupportedSnafu { function: place, why });
                let parts = types.iter().enumerate();
                let parts = parts.map(|(at, ty)| self.shape(ty, &format!("{place}-part-{at}")));
                Shape::Tuple(parts.collect::<Result<_, _>>()?)
            }
            leaf => Shape::Leaf(leaf.clone()),
        })
    }

    /// Returns the form of a type that gets a name in Rust; `None` for others.
    fn form(&mut self, ty: &Type, place: &str) -> Result<Option<Form>, ClientGenError> {
        Ok(Some(match ty {
            Type::Record(fields) => {
                let mut parts = vec![];
                for Field { name, ty } in fields {
                    let shape = self.shape(ty, &format!("{place}-{name}"))?;
                    parts.push(Part::field(name, None, Some(shape)));
                }
                Form::Record(parts)
            }
            Type::Variant(cases) => {
                let mut parts = vec![];
                for (name, payload) in cases {
                    let shape = self.maybe(payload.as_ref(), &format!("{place}-{name}"))?;
                    parts.push(Part::case(name, None, shape));
                }
                Form::Variant(parts)
            }
            Type::Flags(flags) => {
                Form::Flags(flags.iter().map(|flag| Part::field(flag, None, None)).collect())
            }
            Type::Enum(cases) => {
                Form::Enum(cases.iter().map(|case| Part::case(case, None, None)).collect())
            }
            _ => return Ok(None),
        }))
    }
}
