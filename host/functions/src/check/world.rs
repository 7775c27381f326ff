//! The upload check of a component's world: its imports and its exports.
//!
//! Promises that a component imports nothing but `aspen:function` and interfaces of types alone, and
//! that Aspen has values for the types of every exported function.

use aspen_core::function::FunctionSignature;
use aspen_core::limits::NAME_BYTES_MAX;
use snafu::{OptionExt, ensure};
use wasmparser::component_types::{
    ComponentAnyTypeId, ComponentEntityType, ComponentInstanceTypeId,
};
use wasmparser::types::TypesRef;

use super::error::{
    ComponentError, ForeignImportSnafu, ImportTypeSnafu, UnsupportedSnafu, at_most,
};
use super::signature::signature;
use crate::interface::offered;

/// The beginning of the names of Aspen's own interfaces. One that is not offered is of another version.
const OWN_INTERFACES: &str = "aspen:";

/// Checks that Aspen offers an import, with the types that the component wants.
pub(super) fn check_import(types: TypesRef<'_>, name: &str) -> Result<(), ComponentError> {
    let offered = offered(name);
    let remedy = match name.starts_with("wasi:") {
        true => {
            "a function has no clock, files or randomness of its own: build for \
             wasm32-unknown-unknown, not wasm32-wasip2, and use aspen:function/context"
        }
        false => "offered are aspen:function/store@0.1.0 and aspen:function/context@0.1.0",
    };
    let item = types.component_item_for_import(name);
    let Some(ComponentEntityType::Instance(id)) = item.map(|item| item.ty) else {
        return ForeignImportSnafu { name, remedy }.fail();
    };
    // `use shapes.{...}` imports an interface of the component's own: names of types, no capability.
    if offered.is_none() && !name.starts_with(OWN_INTERFACES) && has_only_types(types, id) {
        return Ok(());
    }
    let offered = offered.context(ForeignImportSnafu { name, remedy })?;
    for (function, item) in &types[id].exports {
        match item.ty {
            ComponentEntityType::Type { .. } => {}
            ComponentEntityType::Func(id) => {
                let wanted = signature(types, function, id);
                let wanted = wanted.map_or_else(|_| function.clone(), |wanted| wanted.to_string());
                let is_offered = offered.contains(&&*wanted);
                ensure!(is_offered, ImportTypeSnafu { name, function: wanted });
            }
            _ => return ImportTypeSnafu { name, function }.fail(),
        }
    }
    Ok(())
}

/// Returns true if an instance has nothing that could be called or held: wasmtime needs no definition
/// of it.
fn has_only_types(types: TypesRef<'_>, instance: ComponentInstanceTypeId) -> bool {
    types[instance].exports.values().all(|item| match item.ty {
        ComponentEntityType::Type { created, .. } => {
            matches!(created, ComponentAnyTypeId::Defined(_))
        }
        _ => false,
    })
}

/// Returns the signatures of the exported functions among `names`, in order of their names.
pub(super) fn exports(
    types: TypesRef<'_>,
    names: &[String],
) -> Result<Vec<FunctionSignature>, ComponentError> {
    let mut functions = vec![];
    for name in names {
        let item = types.component_item_for_export(name);
        let Some(ComponentEntityType::Func(id)) = item.map(|item| item.ty) else { continue };
        at_most("bytes in the name of a function", name.len() as u64, NAME_BYTES_MAX)?;
        let found = signature(types, name, id);
        let function = found.map_err(|why| UnsupportedSnafu { function: name, why }.build())?;
        functions.push(function);
    }
    functions.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(functions)
}
