//! The upload check: what a component must be before anything compiles it.
//!
//! Promises that a component which passes can be compiled in bounded time, fits the pool, imports
//! nothing but `aspen:function` and interfaces that hold types alone, and exports functions whose values
//! Aspen can carry; and that the answer depends on the bytes alone, so every replica gives the same one.
//! Nothing is compiled here. Errors name the thing and, where there is one, the remedy.

use std::collections::BTreeSet;

use aspen_core::limits::{GUEST_TABLE_ELEMENTS_MAX, NAME_BYTES_MAX};
use aspen_core::{ComponentHash, FunctionSignature, Manifest};
use snafu::{OptionExt, ResultExt, Snafu, ensure};
use wasmparser::component_types::{
    ComponentAnyTypeId, ComponentEntityType, ComponentInstanceTypeId,
};
use wasmparser::types::TypesRef;
use wasmparser::{
    BinaryReaderError, CanonicalFunction, ComponentAlias, ComponentExternalKind, ComponentInstance,
    ComponentTypeRef, ElementItems, Instance, Parser, Payload, TypeBounds, Validator,
};

use crate::class::{Class, Limits};
use crate::imports::offered;
use crate::instrument::facts;
use crate::profile::{
    DATA_BYTES_PER_FUEL, ELEMENT_FUEL, LARGE_INSTANCE_FUEL, MEMORIES_MAX, SEGMENT_FUEL,
    WASM_PAGE_BYTES, features,
};
use crate::signature::signature;

/// How the names of Aspen's own interfaces begin: one that is not offered is of another version.
const OWN_INTERFACES: &str = "aspen:";

/// Why a component cannot be uploaded.
#[derive(Debug, Snafu)]
pub enum ComponentError {
    /// Not WebAssembly at all.
    #[snafu(display("this is no WebAssembly component: `aspen build` makes one"))]
    NotWasm,
    /// A core module, which has no types.
    #[snafu(display(
        "this is a core WebAssembly module, not a component: build it with `aspen build`"
    ))]
    CoreModule,
    /// Something above its limit.
    #[snafu(display("component has {found} {what}, limit is {limit}"))]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// How much.
        found: u64,
        /// How much is allowed.
        limit: u64,
    },
    /// Not valid, or valid only with proposals that are switched off.
    #[snafu(display("component is not valid: {source}"))]
    Invalid {
        /// What wasmparser says, with the offset.
        source: BinaryReaderError,
    },
    /// A component inside the component.
    #[snafu(display(
        "component holds another component: export functions from the world itself, not from an \
         interface"
    ))]
    Nested,
    /// A large component that runs code when an instance is made.
    #[snafu(display("component has a start function, which one of more than 2 MiB may not have"))]
    Start,
    /// An import that Aspen does not offer.
    #[snafu(display("component imports {name:?}, which Aspen does not offer; {remedy}"))]
    ForeignImport {
        /// The import.
        name: String,
        /// What to do.
        remedy: &'static str,
    },
    /// An import of the right name and the wrong type.
    #[snafu(display("component imports {function:?} of {name}, which is not in wit/aspen.wit so"))]
    ImportType {
        /// The interface.
        name: String,
        /// The function as the component wants it, or its name.
        function: String,
    },
    /// It has nothing to call.
    #[snafu(display("component exports no function"))]
    NoFunction,
    /// A function that cannot be called.
    #[snafu(display("function {function:?} cannot be called: {why}"))]
    Unsupported {
        /// The function.
        function: String,
        /// Why.
        why: &'static str,
    },
}

/// What the check finds.
pub(crate) struct Checked {
    /// What the component offers.
    pub manifest: Manifest,
    /// Fuel of making an instance, beside what its instructions cost.
    pub instance_fuel: u64,
}

/// Checks a component; what it offers.
pub fn check(bytes: &[u8]) -> Result<Manifest, ComponentError> {
    examine(bytes).map(|checked| checked.manifest)
}

/// The same, for who runs it.
pub(crate) fn examine(bytes: &[u8]) -> Result<Checked, ComponentError> {
    let class = Class::of(bytes.len());
    at_most("bytes", bytes.len() as u64, class.limits().bytes)?;
    ensure!(!Parser::is_core_wasm(bytes), CoreModuleSnafu);
    ensure!(Parser::is_component(bytes), NotWasmSnafu);
    let counts = count(bytes, class.limits())?;
    counts.check(class.limits())?;
    let types = Validator::new_with_features(features()).validate_all(bytes);
    let types = types.context(InvalidSnafu)?;
    let mut imports = 0;
    for module in &counts.modules {
        imports += check_module(module, counts.modules.len(), class)?;
    }
    at_most("imported functions", imports, class.limits().imports)?;
    // So what the modules have is what the component has: two instances of one would be two memories.
    let mut seen = BTreeSet::new();
    let again = counts.instances.iter().any(|module| !seen.insert(module));
    at_most("instances of one core module", 1 + u64::from(again), 1)?;
    for name in &counts.imports {
        check_import(types.as_ref(), name)?;
    }
    if let Some(function) = counts.again {
        return UnsupportedSnafu { function, why: "it is an import, exported again" }.fail();
    }
    let functions = exports(types.as_ref(), &counts.exports)?;
    ensure!(!functions.is_empty(), NoFunctionSnafu);
    let (component, bytes) = (ComponentHash::of(bytes), bytes.len() as u64);
    let manifest = Manifest { component, bytes, functions };
    Ok(Checked { manifest, instance_fuel: counts.instance_fuel(class) })
}

fn at_most(what: &'static str, found: u64, limit: usize) -> Result<(), ComponentError> {
    let limit = limit as u64;
    ensure!(found <= limit, TooMuchSnafu { what, found, limit });
    Ok(())
}

/// What a component holds, from its sections alone.
#[derive(Default)]
struct Counts<'a> {
    modules: Vec<&'a [u8]>,
    /// Names of imports and exports that are more than types.
    imports: Vec<String>,
    exports: Vec<String>,
    /// Of each function and each instance of the component, by index: whether it was imported.
    imported_functions: Vec<bool>,
    imported_instances: Vec<bool>,
    /// An export that is an imported function under another name. Valid, but wasmtime cannot run it.
    again: Option<String>,
    /// Of each core instance the module.
    instances: Vec<u32>,
    /// Where the parser is: of what it has entered and not left, whether it is a component.
    inside: Vec<bool>,
    nested: usize,
    canonicals: u64,
    functions: u64,
    memories: u64,
    tables: u64,
    globals: u64,
    segments: u64,
    data_bytes: u64,
    elements: u64,
}

impl Counts<'_> {
    fn check(&self, limits: &Limits) -> Result<(), ComponentError> {
        at_most("core modules", self.modules.len() as u64, limits.core_instances)?;
        at_most("core instances", self.instances.len() as u64, limits.core_instances)?;
        at_most("imports and exports of functions", self.canonicals, limits.canonicals)?;
        at_most("functions", self.functions, limits.functions)?;
        at_most("memories", self.memories, MEMORIES_MAX)?;
        at_most("tables", self.tables, limits.tables)?;
        at_most("globals", self.globals, limits.globals)
    }

    /// No module has more than one instance, so each segment is used once.
    fn instance_fuel(&self, class: Class) -> u64 {
        match class {
            Class::Small => 0,
            Class::Large => {
                let data = self.data_bytes / DATA_BYTES_PER_FUEL;
                let segments = SEGMENT_FUEL * self.segments + ELEMENT_FUEL * self.elements;
                LARGE_INSTANCE_FUEL + segments + data
            }
        }
    }

    /// Whether a function or an instance was imported.
    fn is_imported(&self, kind: ComponentExternalKind, index: u32) -> bool {
        match kind {
            ComponentExternalKind::Func => at(&self.imported_functions, index),
            ComponentExternalKind::Instance => at(&self.imported_instances, index),
            _ => false,
        }
    }

    /// An alias or an export: it gives something an index of its own once more.
    fn name_again(&mut self, kind: ComponentExternalKind, is_imported: bool) {
        match kind {
            ComponentExternalKind::Func => self.imported_functions.push(is_imported),
            ComponentExternalKind::Instance => self.imported_instances.push(is_imported),
            _ => {}
        }
    }
}

/// Whether it was imported. An index that nothing has is found by the validator.
fn at(imported: &[bool], index: u32) -> bool {
    imported.get(index as usize).copied().unwrap_or(false)
}

fn count<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Counts<'a>, ComponentError> {
    let mut counts = Counts::default();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.context(InvalidSnafu)?;
        match counts.inside.last() {
            Some(true) => check_nested(&payload)?,
            _ => count_payload(&mut counts, &payload, bytes, limits)?,
        }
        match payload {
            Payload::ModuleSection { .. } => counts.inside.push(false),
            Payload::ComponentSection { .. } => counts.inside.push(true),
            Payload::End(_) => {
                counts.inside.pop();
            }
            _ => {}
        }
    }
    Ok(counts)
}

/// A component inside may import and export, which is how a toolchain gives the outer one's exports the
/// names of their types. It holds nothing that runs.
fn check_nested(payload: &Payload<'_>) -> Result<(), ComponentError> {
    match payload {
        Payload::Version { .. } | Payload::End(_) | Payload::CustomSection(_) => Ok(()),
        Payload::ComponentTypeSection(_) | Payload::ComponentAliasSection(_) => Ok(()),
        Payload::ComponentImportSection(_) | Payload::ComponentExportSection(_) => Ok(()),
        _ => NestedSnafu.fail(),
    }
}

fn count_payload<'a>(
    counts: &mut Counts<'a>,
    payload: &Payload<'a>,
    bytes: &'a [u8],
    limits: &Limits,
) -> Result<(), ComponentError> {
    match payload {
        Payload::ComponentSection { .. } => {
            counts.nested += 1;
            ensure!(counts.nested <= limits.nested, NestedSnafu);
        }
        Payload::ModuleSection { unchecked_range, .. } => {
            let module = bytes.get(unchecked_range.clone()).context(NotWasmSnafu)?;
            counts.modules.push(module);
        }
        Payload::InstanceSection(section) => {
            for instance in section.clone() {
                if let Instance::Instantiate { module_index, .. } =
                    instance.context(InvalidSnafu)?
                {
                    counts.instances.push(module_index);
                }
            }
        }
        Payload::ComponentCanonicalSection(section) => {
            counts.canonicals += u64::from(section.count());
            for function in section.clone() {
                if let CanonicalFunction::Lift { .. } = function.context(InvalidSnafu)? {
                    counts.imported_functions.push(false);
                }
            }
        }
        Payload::ComponentInstanceSection(section) => {
            for instance in section.clone() {
                let instance = instance.context(InvalidSnafu)?;
                if let ComponentInstance::Instantiate { args, .. } = instance {
                    let mut args = args.iter();
                    let again = args.find(|arg| counts.is_imported(arg.kind, arg.index));
                    counts.again = again.map(|arg| arg.name.to_string()).or(counts.again.take());
                }
                counts.imported_instances.push(false);
            }
        }
        Payload::ComponentAliasSection(section) => {
            for alias in section.clone() {
                let alias = alias.context(InvalidSnafu)?;
                if let ComponentAlias::InstanceExport { kind, instance_index, .. } = alias {
                    let is_imported = at(&counts.imported_instances, instance_index);
                    counts.name_again(kind, is_imported);
                }
            }
        }
        Payload::ComponentImportSection(section) => {
            for import in section.clone() {
                let import = import.context(InvalidSnafu)?;
                match import.ty {
                    ComponentTypeRef::Func(_) => counts.imported_functions.push(true),
                    ComponentTypeRef::Instance(_) => counts.imported_instances.push(true),
                    _ => {}
                }
                // `use types.{...}` imports an equal type: a name, no capability.
                if !matches!(import.ty, ComponentTypeRef::Type(TypeBounds::Eq(_))) {
                    counts.imports.push(import.name.name.to_string());
                }
            }
        }
        Payload::ComponentExportSection(section) => {
            for export in section.clone() {
                let export = export.context(InvalidSnafu)?;
                let name = export.name.name.to_string();
                let is_imported = counts.is_imported(export.kind, export.index);
                if export.kind == ComponentExternalKind::Func && is_imported {
                    counts.again = Some(name.clone());
                }
                counts.name_again(export.kind, is_imported);
                counts.exports.push(name);
            }
        }
        Payload::FunctionSection(section) => counts.functions += u64::from(section.count()),
        Payload::MemorySection(section) => counts.memories += u64::from(section.count()),
        Payload::TableSection(section) => counts.tables += u64::from(section.count()),
        Payload::GlobalSection(section) => counts.globals += u64::from(section.count()),
        Payload::DataSection(section) => {
            counts.segments += u64::from(section.count());
            for data in section.clone() {
                counts.data_bytes += data.context(InvalidSnafu)?.data.len() as u64;
            }
        }
        Payload::ElementSection(section) => {
            counts.segments += u64::from(section.count());
            for element in section.clone() {
                counts.elements += u64::from(match element.context(InvalidSnafu)?.items {
                    ElementItems::Functions(items) => items.count(),
                    ElementItems::Expressions(_, items) => items.count(),
                });
            }
        }
        Payload::CodeSectionEntry(body) => {
            at_most("bytes in one function", body.range().len() as u64, limits.body_bytes)?;
        }
        _ => {}
    }
    Ok(())
}

/// Limits of one core module, whose validity is known; how many functions it imports.
fn check_module(module: &[u8], modules: usize, class: Class) -> Result<u64, ComponentError> {
    let limits = class.limits();
    let facts = facts(module).context(InvalidSnafu)?;
    if class == Class::Small {
        // Each module may have its share of the imports.
        at_most("imported functions", facts.imports as u64, limits.imports / modules.max(1))?;
    }
    at_most("globals", u64::from(facts.globals), limits.globals)?;
    for function in &facts.functions {
        at_most("locals in one function", function.locals as u64, limits.locals)?;
        at_most("nested blocks in one function", function.nesting as u64, limits.nesting)?;
    }
    for payload in Parser::new(0).parse_all(module) {
        match payload.context(InvalidSnafu)? {
            Payload::MemorySection(section) => {
                for memory in section {
                    let pages = memory.context(InvalidSnafu)?.initial;
                    let bytes = pages.saturating_mul(WASM_PAGE_BYTES as u64);
                    at_most("bytes of memory at the start", bytes, limits.memory_bytes)?;
                }
            }
            Payload::StartSection { .. } if class == Class::Large => return StartSnafu.fail(),
            Payload::TableSection(section) => {
                for table in section {
                    let elements = table.context(InvalidSnafu)?.ty.initial;
                    at_most("elements in one table", elements, GUEST_TABLE_ELEMENTS_MAX)?;
                }
            }
            _ => {}
        }
    }
    Ok(facts.imports as u64)
}

fn check_import(types: TypesRef<'_>, name: &str) -> Result<(), ComponentError> {
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
    // `use shapes.{...}` of an interface of the component's own: names of types, no capability.
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

/// Whether an instance has nothing that could be called or held: wasmtime needs no definition of it.
fn has_only_types(types: TypesRef<'_>, instance: ComponentInstanceTypeId) -> bool {
    types[instance].exports.values().all(|item| match item.ty {
        ComponentEntityType::Type { created, .. } => {
            matches!(created, ComponentAnyTypeId::Defined(_))
        }
        _ => false,
    })
}

fn exports(
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
