//! The upload check: the conditions that a component must meet before anything compiles it.
//!
//! Promises that a component which passes can be compiled in bounded time, fits the pool, imports
//! nothing but `aspen:function` and interfaces that hold types alone, and exports functions with values
//! that Aspen can carry. The answer depends on the bytes alone, so every replica gives the same one.
//! The fuzzer found two kinds of components that an earlier check let through: an import that is exported
//! again, which wasmtime cannot compile; and two instances of one core module, so two memories, which
//! compiled and could not be loaded. Both are refused with the reason.
//! Nothing is compiled here. Errors name the thing and, where one exists, the remedy.
//! Numbers are counted in `check/counts.rs`, imports and exports are checked in `check/world.rs`.

use std::collections::BTreeSet;

use aspen_core::function::Manifest;
use aspen_core::ids::ComponentHash;
use snafu::{ResultExt, ensure};
use wasmparser::{Parser, Validator};

pub use self::error::ComponentError;
use self::error::{
    CoreModuleSnafu, InvalidSnafu, NoFunctionSnafu, NotWasmSnafu, UnsupportedSnafu, at_most,
};
use self::module::check_module;
use self::world::{check_import, exports};
use crate::profile::class::Class;
use crate::profile::engine::features;

mod counts;
mod error;
mod module;
mod origins;
mod signature;
mod world;

/// The findings of the check about a component that passes.
pub(crate) struct Findings {
    pub manifest: Manifest,
    /// Fuel of making an instance, besides the fuel of its instructions.
    pub instance_fuel: u64,
}

/// Checks a component. Returns its functions, as a manifest.
pub fn check(bytes: &[u8]) -> Result<Manifest, ComponentError> {
    examine(bytes).map(|findings| findings.manifest)
}

/// Checks a component. Returns all that is needed to run it.
pub(crate) fn examine(bytes: &[u8]) -> Result<Findings, ComponentError> {
    let class = Class::of(bytes.len());
    at_most("bytes", bytes.len() as u64, class.limits().bytes)?;
    ensure!(!Parser::is_core_wasm(bytes), CoreModuleSnafu);
    ensure!(Parser::is_component(bytes), NotWasmSnafu);
    let counts = counts::count(bytes, class.limits())?;
    counts.check(class.limits())?;
    let types = Validator::new_with_features(features()).validate_all(bytes);
    let types = types.context(InvalidSnafu)?;
    let mut imports = 0;
    for module in &counts.modules {
        imports += check_module(module, counts.modules.len(), class)?;
    }
    at_most("imported functions", imports, class.limits().imports)?;
    // The modules together then have what the component has: two instances of one module would have
    // two memories.
    let mut seen = BTreeSet::new();
    let again = counts.instances.iter().any(|module| !seen.insert(module));
    at_most("instances of one core module", 1 + u64::from(again), 1)?;
    for name in &counts.imports {
        check_import(types.as_ref(), name)?;
    }
    if let Some(function) = &counts.origins.exported_import {
        return UnsupportedSnafu { function, why: "it is an import, exported again" }.fail();
    }
    let functions = exports(types.as_ref(), &counts.exports)?;
    ensure!(!functions.is_empty(), NoFunctionSnafu);
    let (component, bytes) = (ComponentHash::of(bytes), bytes.len() as u64);
    let manifest = Manifest { component, bytes, functions };
    Ok(Findings { manifest, instance_fuel: counts.instance_fuel(class) })
}
