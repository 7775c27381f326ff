//! [`WasmFunctions`]: runs calls in wasmtime.
//!
//! Promises what [`Functions`] asks: a call's result depends on its input and the view alone. Each
//! call gets a fresh instance, so nothing leaks from one to the next. A guest's failure is a
//! [`CallEnd`]; everything that this machine could do differently than another is a [`Fault`].
//! Leaves out names, sessions and the commit of writes: that is `apply`.

use std::path::PathBuf;
use std::sync::{Condvar, Mutex, PoisonError};

use aspen_core::{
    CallEnd, CallInput, CallResult, ComponentHash, Fault, Fuel, Functions, GuestFault, Manifest,
    ProfileId, Refusal, Type, Val, View, decode_vals, encode_vals,
};
use bytes::Bytes;
use snafu::{ResultExt, Snafu};
use wasmtime::component::{Instance, Val as GuestVal};
use wasmtime::{Engine, OptLevel, Store, Trap};

use crate::cache::Cache;
use crate::check::{ComponentError, check};
use crate::class::Class;
use crate::compile::{Compiler, Compilers, Function, Prepared};
use crate::compile_check::{CompileCheck, CompileError};
use crate::convert::{lift, lower};
use crate::host::{Host, Stop};
use crate::imports::linker;
use crate::profile::{
    BYTE_FUEL, COPY_OUT_MAX, FREE_MEMORY_BYTES, MEMORY_PAGE_FUEL, PROFILE, SLOW_BYTE_FUEL,
    VALUE_FUEL, WASM_PAGE_BYTES, config, portable,
};

/// Choices of one node. None of them can change an outcome.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Folder for compiled code, so that a restart compiles nothing; it must be this node's own.
    pub cache: Option<PathBuf>,
    /// How hard the compiler tries.
    pub level: Level,
    /// The process that tries to compile an upload first. Without one it is compiled in this process,
    /// where a component that takes too long or too much memory does harm: for tests, and for a store
    /// inside a program, which uploads only what that program trusts.
    pub check: Option<CompileCheck>,
}

/// How hard the compiler tries. The first call of a component waits for it, and nested loops within
/// the limits of the upload check, 1.5 MB of them, took 140 s at `Speed` and 21 s at `None` (on a
/// loaded machine): so `None` is the default, and `Speed` is for components that one trusts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// Code that is up to 1.4 times as fast where a function computes much.
    Speed,
    /// Compiles in half the time, and in bounded time.
    #[default]
    None,
    /// Code for no processor, interpreted: 20 times as slow. Tests show with it that nothing depends
    /// on the machine they run on.
    #[doc(hidden)]
    Portable,
}

/// The engine cannot start on this machine.
#[derive(Debug, Snafu)]
pub enum EngineError {
    /// Wasmtime refuses its settings.
    #[snafu(display("cannot start the WebAssembly engine"))]
    Engine {
        /// What wasmtime says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no thread to compile on.
    #[snafu(display("cannot start the compile thread"))]
    Thread {
        /// What the system says.
        source: std::io::Error,
    },
}

/// Runs functions in wasmtime.
///
/// [`Functions::call`] must run on a thread with a stack of [`crate::STACK_BYTES`].
pub struct WasmFunctions {
    cache: Cache,
    gates: [Gate; 2],
    level: Level,
    check: Option<CompileCheck>,
    #[cfg(madsim)]
    planted: crate::planted::Planted,
}

impl Level {
    /// What a component of a class is compiled with: optimising a large one would take a minute.
    pub(crate) fn of(self, class: Class) -> OptLevel {
        match (self, class) {
            (Level::Speed, Class::Small) => OptLevel::Speed,
            _ => OptLevel::None,
        }
    }
}

fn engine(class: Class, level: Level) -> wasmtime::Result<Engine> {
    if level == Level::Portable {
        return Engine::new(&portable(class)?);
    }
    let level = level.of(class);
    // A machine that limits address space has no room for the pool: slower, not different.
    Engine::new(&config(class, level, true)).or_else(|error| {
        tracing::warn!(%error, "no memory pool, calls will be slower");
        Engine::new(&config(class, level, false))
    })
}

fn compiler(class: Class, options: &Options) -> wasmtime::Result<Compiler> {
    let engine = engine(class, options.level)?;
    let linker = linker(&engine)?;
    Ok(Compiler { class, engine, linker, dir: options.cache.clone() })
}

impl WasmFunctions {
    /// Starts an engine and the thread that compiles ahead.
    pub fn new(options: Options) -> Result<Self, EngineError> {
        let boxed = wasmtime::Error::into_boxed_dyn_error;
        let compiler = |class| compiler(class, &options).map_err(boxed).context(EngineSnafu);
        let compilers =
            Compilers { small: compiler(Class::Small)?, large: compiler(Class::Large)? };
        let cache = Cache::new(compilers).context(ThreadSnafu)?;
        Ok(Self {
            cache,
            gates: [Class::Small, Class::Large].map(Gate::new),
            level: options.level,
            check: options.check,
            #[cfg(madsim)]
            planted: Default::default(),
        })
    }

    /// Defects planted in this engine.
    #[cfg(madsim)]
    pub fn planted(&self) -> &crate::planted::Planted {
        &self.planted
    }

    /// Whether a component can run, if that is known because it was compiled.
    pub fn is_compiled(&self, hash: &ComponentHash) -> Option<bool> {
        let known = self.cache.known(hash);
        known.or_else(|| self.cache.compilers().has_code(hash).then_some(true))
    }

    /// The profiles that calls can run with here.
    pub fn profiles(&self) -> Vec<ProfileId> {
        #[cfg(madsim)]
        let all = [PROFILE, crate::planted::NEXT_PROFILE];
        #[cfg(not(madsim))]
        let all = [PROFILE];
        all.into_iter().filter(|profile| self.runs(*profile)).collect()
    }

    /// What a component that was uploaded offers. Of one that is compiled nothing is checked again.
    pub fn describe(&self, bytes: &Bytes) -> Result<Manifest, ComponentError> {
        let component = ComponentHash::of(bytes);
        let Some(prepared) = self.cache.ready(&component) else { return check(bytes) };
        let functions = prepared.functions.values().map(|function| function.signature.clone());
        let (bytes, functions) = (bytes.len() as u64, functions.collect());
        Ok(Manifest { component, bytes, functions })
    }

    /// Compiles a component now, before an entry needs it, in a process of its own; here it is only
    /// loaded, or compiled again if there is no folder for compiled code. Blocks; `is_given_up` is asked
    /// meanwhile and ends it.
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
            // Each shard of an upload asks, and other nodes do: one of them may have been first.
            if self.is_compiled(hash).is_none() {
                let keep = self.cache.compilers().small.dir.as_deref();
                check.run(turn, self.level, bytes, keep, is_given_up)?;
            }
        }
        let looked = self.cache.get(hash, || Ok(Some(bytes.clone())))?;
        drop(turn);
        match looked {
            Some(_) => Ok(()),
            None => {
                let reason = "its imports or code do not fit this version".into();
                Err(CompileError::Unfit { reason })
            }
        }
    }
}

impl Functions for WasmFunctions {
    fn call(&self, view: &dyn View, input: &CallInput<'_>) -> Result<CallResult, Fault> {
        if !self.runs(input.profile) {
            let what = format!("this program does not know {}", input.profile);
            return Err(Fault::new("running a function", what));
        }
        let prepared = self.cache.get(&input.component, || view.component(&input.component))?;
        let Some(prepared) = prepared else { return Ok(refused(Refusal::ComponentUnknown)) };
        let Some(function) = prepared.functions.get(input.function) else {
            return Ok(refused(Refusal::FunctionUnknown));
        };
        let Some(args) = arguments(function, input.args) else {
            return Ok(refused(Refusal::BadArguments));
        };
        let limits = prepared.class.limits();
        let _place = self.gates[prepared.class as usize].enter();
        let engine = &self.cache.compilers().of(prepared.class).engine;
        // SAFETY: the call and its store, which holds the host, end in this function: `view` stays.
        let host = unsafe { Host::new(view, input, limits) };
        let store = Store::new(engine, host);
        let mut call = Call {
            store,
            function,
            fuel: limits.fuel,
            memory_bytes: FREE_MEMORY_BYTES,
            is_started: false,
        };
        let end = match call.run(&prepared, &args, input.args.len()) {
            Ok(end) => end,
            Err(error) => CallEnd::Faulted(call.fault(error)?),
        };
        let result = call.finish(end);
        #[cfg(madsim)]
        let result = result.map(|result| self.planted.spoil(result, input.profile));
        result
    }

    fn runs(&self, profile: ProfileId) -> bool {
        // Asked for every entry.
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

/// Arguments in the form that the function takes them.
enum Arguments {
    Raw(Bytes),
    /// With the fuel that making them costs.
    Typed(Vec<GuestVal>, u64),
}

/// Checks the arguments against the function's type; `None` if they do not fit.
fn arguments(function: &Function, args: &Bytes) -> Option<Arguments> {
    let vals = decode_vals(args).ok()?;
    let params = &function.signature.params;
    if let ([Val::Bytes(bytes)], true) = (&vals[..], function.is_raw) {
        return Some(Arguments::Raw(bytes.clone()));
    }
    if vals.len() != params.len() {
        return None;
    }
    let fuel = vals.iter().map(values_fuel).sum();
    let vals = vals.iter().zip(params).map(|(val, param)| lower(val, &param.ty));
    Some(Arguments::Typed(vals.collect::<Option<_>>()?, fuel))
}

/// The price of a value that is made part by part.
fn values_fuel(val: &Val) -> u64 {
    let inside = match val {
        Val::Bytes(bytes) => SLOW_BYTE_FUEL * bytes.len() as u64,
        Val::List(vals) | Val::Tuple(vals) => vals.iter().map(values_fuel).sum(),
        Val::Record(fields) => fields.iter().map(|(_, val)| values_fuel(val)).sum(),
        Val::Variant(_, Some(val)) | Val::Option(Some(val)) => values_fuel(val),
        Val::Result(Ok(Some(val)) | Err(Some(val))) => values_fuel(val),
        _ => 0,
    };
    VALUE_FUEL + inside
}

/// One call under way.
struct Call<'a> {
    store: Store<Host>,
    function: &'a Function,
    /// What it has.
    fuel: u64,
    /// Memory that it has paid for.
    memory_bytes: usize,
    /// The instance exists: what goes wrong from here on is the guest's doing.
    is_started: bool,
}

impl Call<'_> {
    fn run(
        &mut self,
        prepared: &Prepared,
        args: &Arguments,
        args_bytes: usize,
    ) -> wasmtime::Result<CallEnd> {
        self.store.limiter(|host| &mut host.growth);
        self.store.set_hostcall_fuel(COPY_OUT_MAX);
        // Before the instance is made: start functions and data segments cost fuel too.
        self.store.set_fuel(self.fuel)?;
        self.charge(BYTE_FUEL * args_bytes as u64)?;
        if let Arguments::Typed(_, fuel) = args {
            self.charge(*fuel)?;
        }
        let instance = match prepared.class {
            Class::Small => prepared.instance.instantiate(&mut self.store)?,
            Class::Large => {
                self.charge(prepared.instance_fuel)?;
                // It runs no code meanwhile, and what wasmtime charges for data depends on the system.
                let fuel = self.store.get_fuel()?;
                self.store.set_fuel(u64::MAX)?;
                let instance = prepared.instance.instantiate(&mut self.store)?;
                self.store.set_fuel(fuel)?;
                instance
            }
        };
        self.is_started = true;
        self.charge_memory()?;
        let end = match args {
            Arguments::Raw(bytes) => self.run_raw(&instance, bytes),
            Arguments::Typed(vals, _) => self.run_typed(&instance, vals),
        }?;
        self.charge_memory()?;
        if let CallEnd::Returned(bytes) | CallEnd::Aborted(bytes) = &end {
            self.charge(BYTE_FUEL * bytes.len() as u64)?;
        }
        Ok(end)
    }

    /// Bytes in and out as static types: 30 times as fast as value by value.
    fn run_raw(&mut self, instance: &Instance, bytes: &Bytes) -> wasmtime::Result<CallEnd> {
        let function = self.export(instance)?;
        let function = function.typed::<(&[u8],), (Result<Vec<u8>, String>,)>(&self.store)?;
        let (result,) = function.call(&mut self.store, (bytes,))?;
        match result {
            Ok(bytes) => Ok(CallEnd::Returned(encode(&[Val::Bytes(bytes.into())])?)),
            Err(text) => Ok(CallEnd::Aborted(encode(&[Val::String(text)])?)),
        }
    }

    fn run_typed(&mut self, instance: &Instance, vals: &[GuestVal]) -> wasmtime::Result<CallEnd> {
        let function = self.export(instance)?;
        let Some(ty) = &self.function.signature.result else {
            function.call(&mut self.store, vals, &mut [])?;
            return Ok(CallEnd::Returned(encode(&[])?));
        };
        let mut results = [GuestVal::Bool(false)];
        function.call(&mut self.store, vals, &mut results)?;
        let [result] = results;
        let result = lift(result, ty).ok_or(Stop::Guest(GuestFault::BadInterface))?;
        let fuel = values_fuel(&result);
        let payload = |val: Option<Box<Val>>| val.map(|val| *val).into_iter().collect::<Vec<_>>();
        let end = match (result, ty) {
            (Val::Result(Ok(val)), Type::Result(..)) => CallEnd::Returned(encode(&payload(val))?),
            (Val::Result(Err(val)), Type::Result(..)) => CallEnd::Aborted(encode(&payload(val))?),
            (val, _) => CallEnd::Returned(encode(&[val])?),
        };
        self.charge(fuel)?;
        Ok(end)
    }

    fn export(&mut self, instance: &Instance) -> wasmtime::Result<wasmtime::component::Func> {
        let function = instance.get_func(&mut self.store, self.function.index);
        let missing = || Fault::new("finding an export that was there", "it is gone");
        Ok(function.ok_or_else(|| Stop::Machine(missing()))?)
    }

    /// Takes the fuel of what crosses the border outside of host functions.
    fn charge(&mut self, fuel: u64) -> wasmtime::Result<()> {
        match self.store.get_fuel()?.checked_sub(fuel) {
            Some(left) => self.store.set_fuel(left),
            None => Err(Stop::Guest(GuestFault::OutOfFuel).into()),
        }
    }

    /// Takes the fuel of the memory that the guest has got since this was asked last.
    fn charge_memory(&mut self) -> wasmtime::Result<()> {
        let has = self.store.data().growth.memory_bytes;
        let pages = has.saturating_sub(self.memory_bytes).div_ceil(WASM_PAGE_BYTES);
        self.memory_bytes = self.memory_bytes.max(has);
        self.charge(MEMORY_PAGE_FUEL * pages as u64)
    }

    /// Whose doing an error is.
    fn fault(&self, error: wasmtime::Error) -> Result<GuestFault, Fault> {
        let error = match error.downcast::<Stop>() {
            Ok(Stop::Guest(fault)) => return Ok(fault),
            Ok(Stop::Machine(fault)) => return Err(fault),
            Err(error) => error,
        };
        if let Some(trap) = error.downcast_ref::<Trap>() {
            let fault = guest_fault(*trap);
            let fault = fault.ok_or_else(|| Fault::new("running a function", trap.to_string()))?;
            let is_starved =
                fault == GuestFault::Unreachable && self.store.data().growth.is_refused;
            return Ok(if is_starved { GuestFault::OutOfMemory } else { fault });
        }
        if !self.is_started {
            return Err(Fault::new("making an instance", error.into_boxed_dyn_error()));
        }
        // What wasmtime finds while it takes values out of a guest has no type of its own.
        let is_too_large = error.to_string().starts_with("too much data is being copied");
        Ok(if is_too_large { GuestFault::ResultTooLarge } else { GuestFault::BadInterface })
    }

    fn finish(self, end: CallEnd) -> Result<CallResult, Fault> {
        let left = self.store.get_fuel();
        let left =
            left.map_err(|error| Fault::new("reading fuel", error.into_boxed_dyn_error()))?;
        let host = self.store.into_data();
        let is_returned = matches!(end, CallEnd::Returned(_));
        let fuel = match &end {
            // After a trap the reading is stale: the guest pays all it had.
            CallEnd::Faulted(_) => self.fuel,
            _ => self.fuel - left,
        };
        let writes = if is_returned { host.overlay.into_writes() } else { vec![] };
        Ok(CallResult { end, fuel: Fuel::new(fuel), writes, log: host.log })
    }
}

fn encode(vals: &[Val]) -> Result<Bytes, Stop> {
    encode_vals(vals).map_err(|_| GuestFault::ResultTooLarge.into())
}

/// A trap as an outcome; `None` if it says something of this machine.
fn guest_fault(trap: Trap) -> Option<GuestFault> {
    Some(match trap {
        Trap::OutOfFuel => GuestFault::OutOfFuel,
        Trap::UnreachableCodeReached => GuestFault::Unreachable,
        Trap::MemoryOutOfBounds | Trap::TableOutOfBounds => GuestFault::OutOfBounds,
        Trap::IntegerOverflow | Trap::IntegerDivisionByZero | Trap::BadConversionToInteger => {
            GuestFault::Arithmetic
        }
        Trap::IndirectCallToNull | Trap::BadSignature | Trap::NullReference => {
            GuestFault::BadIndirectCall
        }
        Trap::CannotEnterComponent
        | Trap::CannotLeaveComponent
        | Trap::InvalidChar
        | Trap::StringOutOfBounds
        | Trap::ListOutOfBounds
        | Trap::InvalidDiscriminant
        | Trap::UnalignedPointer => GuestFault::BadInterface,
        // Depth is counted in the guest; native stack must never end first.
        Trap::StackOverflow | Trap::Interrupt => return None,
        _ => GuestFault::Trap,
    })
}

/// Lets so many calls of a class in: the pool has no more slots.
struct Gate {
    places: usize,
    inside: Mutex<usize>,
    left: Condvar,
}

struct Place<'a>(&'a Gate);

impl Gate {
    fn new(class: Class) -> Gate {
        let places = class.limits().calls_at_once;
        Gate { places, inside: Mutex::default(), left: Condvar::new() }
    }

    fn enter(&self) -> Place<'_> {
        let inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |inside: &mut usize| *inside >= self.places;
        let inside = self.left.wait_while(inside, is_full);
        *inside.unwrap_or_else(PoisonError::into_inner) += 1;
        Place(self)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *self.0.inside.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.left.notify_one();
    }
}
