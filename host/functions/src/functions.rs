//! [`WasmFunctions`]: runs functions in wasmtime.
//!
//! Promises all that [`Functions`] asks. Finds the component and the function of a call, and refuses a
//! call that names others. Leaves out names, sessions and the commit of writes: that is `apply`.
//! `call.rs` runs the call, `compile.rs` makes components ready.

use std::path::PathBuf;

use aspen_core::function::{CallEnd, CallInput, CallResult, Functions, Manifest};
use aspen_core::ids::{ComponentHash, Fuel, ProfileId};
use aspen_core::refusal::Refusal;
use aspen_core::view::{HostError, View};
use bytes::Bytes;
use snafu::ResultExt;

use crate::call::arguments::arguments;
use crate::call::call_slots::CallSlots;
use crate::call::run;
use crate::check::{ComponentError, check};
use crate::compile::cache::Cache;
use crate::compile::compiler::Compilers;
use crate::compile::engine::{EngineError, EngineSnafu, Level, ThreadSnafu};
use crate::compile_check::{CompileCheck, CompileError};
use crate::profile::PROFILE;
use crate::profile::class::Class;

/// The choices of one node. None of them can change an outcome.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The folder for compiled code, so that a restart compiles nothing; it must be this node's own.
    pub cache: Option<PathBuf>,
    /// The level of optimisation.
    pub level: Level,
    /// The process that first tries to compile an upload. Without one this process compiles the upload,
    /// and a component that takes too long or too much memory does harm. That is meant for tests, and for
    /// a store inside a program, which uploads only components that the program trusts.
    pub check: Option<CompileCheck>,
}

/// Runs functions in wasmtime.
///
/// [`Functions::call`] must run on a thread with a stack of [`crate::STACK_BYTES`].
pub struct WasmFunctions {
    cache: Cache,
    /// By class.
    slots: [CallSlots; 2],
    level: Level,
    check: Option<CompileCheck>,
    #[cfg(madsim)]
    planted: crate::planted::Planted,
}

impl WasmFunctions {
    /// Starts the engines and the thread that compiles ahead.
    pub fn new(options: Options) -> Result<Self, EngineError> {
        let boxed = wasmtime::Error::into_boxed_dyn_error;
        let compilers = Compilers::new(options.level, options.cache).map_err(boxed);
        let cache = Cache::new(compilers.context(EngineSnafu)?).context(ThreadSnafu)?;
        Ok(Self {
            cache,
            slots: [Class::Small, Class::Large].map(CallSlots::new),
            level: options.level,
            check: options.check,
            #[cfg(madsim)]
            planted: Default::default(),
        })
    }

    /// Returns the defects planted in this engine.
    #[cfg(madsim)]
    pub fn planted(&self) -> &crate::planted::Planted {
        &self.planted
    }

    /// Returns true if a component can run, false if it cannot; `None` if nobody has compiled it yet.
    pub fn is_compiled(&self, hash: &ComponentHash) -> Option<bool> {
        let known = self.cache.peek(hash).map(|ready| ready.is_some());
        known.or_else(|| self.cache.compilers().has_code(hash).then_some(true))
    }

    /// Returns the profiles that calls can run with here.
    pub fn profiles(&self) -> Vec<ProfileId> {
        #[cfg(madsim)]
        let all = [PROFILE, crate::planted::NEXT_PROFILE];
        #[cfg(not(madsim))]
        let all = [PROFILE];
        all.into_iter().filter(|profile| self.runs(*profile)).collect()
    }

    /// Returns the functions of an uploaded component. If the component is compiled, no check is made
    /// again.
    pub fn describe(&self, bytes: &Bytes) -> Result<Manifest, ComponentError> {
        let component = ComponentHash::of(bytes);
        let Some(ready) = self.cache.peek(&component).flatten() else { return check(bytes) };
        let functions = ready.functions.values().map(|function| function.signature.clone());
        let (bytes, functions) = (bytes.len() as u64, functions.collect());
        Ok(Manifest { component, bytes, functions })
    }

    /// Compiles a component now, before an entry needs it, in a process of its own. This process then only
    /// loads the code, or compiles again if no folder for compiled code is set. Blocks; asks `is_given_up`
    /// meanwhile, which ends it.
    pub fn compile(
        &self,
        hash: &ComponentHash,
        bytes: &Bytes,
        is_given_up: &dyn Fn() -> bool,
    ) -> Result<(), CompileError> {
        let mut turn = None;
        if let Some(check) = &self.check
            && self.is_compiled(hash).is_none()
        {
            let turn = turn.insert(check.turn(bytes.len(), is_given_up)?);
            // Each shard of an upload asks, and other nodes ask: one of them may have been first.
            if self.is_compiled(hash).is_none() {
                let keep = self.cache.compilers().of(Class::Small).dir.as_deref();
                check.run(turn, self.level, bytes, keep, is_given_up)?;
            }
        }
        let ready = self.cache.get(hash, || Ok(Some(bytes.clone())))?;
        drop(turn);
        match ready {
            Some(_) => Ok(()),
            None => {
                let reason = "its imports or code do not fit this version".into();
                Err(CompileError::Unfit { reason })
            }
        }
    }
}

impl Functions for WasmFunctions {
    fn call(&self, view: &dyn View, input: &CallInput<'_>) -> Result<CallResult, HostError> {
        if !self.runs(input.profile) {
            let what = format!("this program does not know {}", input.profile);
            return Err(HostError::new("running a function", what));
        }
        let ready =
            self.cache.get(&input.component, || view.components().component(&input.component))?;
        let Some(ready) = ready else { return Ok(refused(Refusal::ComponentUnknown)) };
        let Some(function) = ready.functions.get(input.function) else {
            return Ok(refused(Refusal::FunctionUnknown));
        };
        let Some(args) = arguments(function, input.args) else {
            return Ok(refused(Refusal::BadArguments));
        };
        let _slot = self.slots[ready.class as usize].take();
        let engine = &self.cache.compilers().of(ready.class).engine;
        let result = run(engine, &ready, function, &args, view, input);
        #[cfg(madsim)]
        let result = result.map(|result| self.planted.spoil(result, input.profile));
        result
    }

    fn runs(&self, profile: ProfileId) -> bool {
        // Every entry asks this.
        #[cfg(madsim)]
        if profile == crate::planted::NEXT_PROFILE {
            return self.planted.is_newer();
        }
        profile == PROFILE
    }

    fn prepare(&self, component: &ComponentHash, bytes: &Bytes) {
        self.cache.prepare(component, bytes);
    }
}

fn refused(refusal: Refusal) -> CallResult {
    CallResult {
        end: CallEnd::Refused(refusal),
        fuel: Fuel::default(),
        writes: vec![],
        log: vec![],
    }
}
