//! Compiles components and links them with the host functions.
//!
//! Promises that a component's bytes are checked, instrumented and compiled in this order, and that
//! every replica finds the same bytes fit or unfit. Code from disk spares the compilation.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::PathBuf;

use aspen_core::function::{FunctionSignature, Type};
use aspen_core::ids::ComponentHash;
use aspen_core::view::HostError;
use wasmtime::Engine;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker};

use super::code_file;
use super::engine::{Level, engine};
use crate::check::{Findings, examine};
use crate::host::call_data::CallData;
use crate::host::imports::linker;
use crate::instrument;
use crate::profile::class::Class;

/// A component that is ready for calls.
pub(crate) struct ReadyComponent {
    pub class: Class,
    /// The component with its imports: instances are made of it.
    pub instance: InstancePre<CallData>,
    /// Fuel of making an instance, besides the fuel of its instructions.
    pub instance_fuel: u64,
    /// The exported functions, by name.
    pub functions: BTreeMap<String, Function>,
}

/// An exported function.
pub(crate) struct Function {
    /// The place of the function in the component.
    pub index: ComponentExportIndex,
    pub signature: FunctionSignature,
    /// The type is `func(list<u8>) -> result<list<u8>, string>`, for which a faster way exists.
    pub is_raw: bool,
}

/// The compilers of both classes.
pub(crate) struct Compilers {
    small: Compiler,
    large: Compiler,
}

/// Makes components of one class ready.
pub(crate) struct Compiler {
    class: Class,
    /// The engine, whose settings are the profile.
    pub engine: Engine,
    /// The host functions.
    linker: Linker<CallData>,
    /// The folder that keeps compiled code between runs.
    pub dir: Option<PathBuf>,
}

impl Compilers {
    /// Starts the engines. Compiled code is kept in `dir`.
    pub(crate) fn new(level: Level, dir: Option<PathBuf>) -> wasmtime::Result<Compilers> {
        let small = Compiler::new(Class::Small, level, dir.clone())?;
        Ok(Compilers { small, large: Compiler::new(Class::Large, level, dir)? })
    }

    /// Returns the compiler of a class.
    pub(crate) fn of(&self, class: Class) -> &Compiler {
        match class {
            Class::Small => &self.small,
            Class::Large => &self.large,
        }
    }

    /// Returns true if code of a component is on disk. Damaged code is compiled again.
    pub(crate) fn has_code(&self, hash: &ComponentHash) -> bool {
        let has =
            |of: &Compiler| Some(code_file::path(&of.engine, of.dir.as_deref()?, hash).exists());
        [&self.small, &self.large].iter().any(|of| has(of) == Some(true))
    }
}

impl Compiler {
    /// Starts the engine of a class and links the host functions.
    fn new(class: Class, level: Level, dir: Option<PathBuf>) -> wasmtime::Result<Compiler> {
        let engine = engine(class, level)?;
        let linker = linker(&engine)?;
        Ok(Compiler { class, engine, linker, dir })
    }

    /// Returns a component that is ready to run; `None` if its bytes cannot run, which every replica
    /// finds alike.
    pub(super) fn make_ready(
        &self,
        hash: &ComponentHash,
        bytes: &[u8],
    ) -> Result<Option<ReadyComponent>, HostError> {
        // The bytes decide each of these errors, so every replica refuses alike.
        let Findings { manifest, instance_fuel } = match examine(bytes) {
            Ok(findings) => findings,
            Err(error) => return Ok(unfit(hash, &error)),
        };
        let loaded = self.dir.as_deref().and_then(|dir| code_file::load(&self.engine, dir, hash));
        let component = match loaded {
            Some(component) => component,
            None => match self.compile(hash, bytes)? {
                Some(component) => component,
                None => return Ok(None),
            },
        };
        let instance = match self.linker.instantiate_pre(&component) {
            Ok(instance) => instance,
            Err(error) => return Ok(unfit(hash, &error)),
        };
        let function = |signature: FunctionSignature| {
            let index = component.get_export_index(None, &signature.name)?;
            let name = signature.name.clone();
            Some((name, Function { index, is_raw: is_raw(&signature), signature }))
        };
        let functions = manifest.functions.into_iter().filter_map(function).collect();
        Ok(Some(ReadyComponent { class: self.class, instance, instance_fuel, functions }))
    }

    fn compile(&self, hash: &ComponentHash, bytes: &[u8]) -> Result<Option<Component>, HostError> {
        let instrumented = match instrument::component(bytes) {
            Ok(instrumented) => instrumented,
            Err(error) => return Ok(unfit(hash, &error)),
        };
        let code = match self.engine.precompile_component(&instrumented) {
            Ok(code) => code,
            Err(error) => return Ok(unfit(hash, &error)),
        };
        if let Some(dir) = &self.dir {
            code_file::store(&self.engine, dir, hash, &code);
        }
        // SAFETY: this process has just compiled the code.
        let component = unsafe { Component::deserialize(&self.engine, &code) };
        let fault = |error: wasmtime::Error| {
            HostError::new("loading compiled code", error.into_boxed_dyn_error())
        };
        component.map(Some).map_err(fault)
    }
}

fn is_raw(signature: &FunctionSignature) -> bool {
    let [param] = &signature.params[..] else { return false };
    let Some(Type::Result(Some(ok), Some(err))) = &signature.result else { return false };
    param.ty.is_bytes() && ok.is_bytes() && **err == Type::String
}

/// Logs the reason why a component cannot run.
fn unfit<T>(component: &ComponentHash, error: &dyn Display) -> Option<T> {
    tracing::warn!(%component, %error, "component cannot run");
    None
}
