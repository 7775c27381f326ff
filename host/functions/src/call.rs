//! One call of a function: a fresh instance, its arguments, its result, its fuel.
//!
//! Promises that a call's result depends on its input and its view alone. Nothing leaks from one call to
//! the next, because each has an instance of its own. A failure of the guest is a [`CallEnd`]; a failure
//! that another machine might not have is a [`HostError`].
//! Arguments are checked in `call/arguments.rs`, values are converted in `call/convert.rs`, causes of
//! errors are found in `call/call_fault.rs`.

use aspen_core::function::{CallEnd, CallInput, CallResult, GuestFault, Type};
use aspen_core::ids::Fuel;
use aspen_core::val::{Val, encode_vals};
use aspen_core::view::{HostError, View};
use bytes::Bytes;
use wasmtime::component::{Func, Instance, Val as GuestVal};
use wasmtime::{Engine, Store};

use self::arguments::Arguments;
use self::call_fault::{CallState, call_fault};
use self::convert::lift;
use self::value_fuel::value_fuel;
use crate::compile::compiler::{Function, ReadyComponent};
use crate::host::call_data::CallData;
use crate::host::call_stop::CallStop;
use crate::profile::class::Class;
use crate::profile::limits::{COPY_OUT_MAX, WASM_PAGE_BYTES};
use crate::profile::prices::{BYTE_FUEL, FREE_MEMORY_BYTES, MEMORY_PAGE_FUEL};

pub(crate) mod arguments;
mod call_fault;
pub(crate) mod call_slots;
mod convert;
mod value_fuel;

/// Runs a call to its end, on this thread.
pub(crate) fn run(
    engine: &Engine,
    component: &ReadyComponent,
    function: &Function,
    args: &Arguments,
    view: &dyn View,
    input: &CallInput<'_>,
) -> Result<CallResult, HostError> {
    let limits = component.class.limits();
    // SAFETY: the store, which holds the data, is dropped in this function, before `view`.
    let data = unsafe { CallData::new(view, input, limits) };
    let mut call = Call {
        store: Store::new(engine, data),
        function,
        fuel: limits.fuel,
        memory_bytes: FREE_MEMORY_BYTES,
        is_started: false,
    };
    let end = match call.run(component, args, input.args.len()) {
        Ok(end) => end,
        Err(error) => CallEnd::Faulted(call_fault(error, &call.state())?),
    };
    call.finish(end)
}

/// One call under way.
struct Call<'a> {
    store: Store<CallData>,
    function: &'a Function,
    /// Fuel at the start.
    fuel: u64,
    /// Memory that the call has paid for.
    memory_bytes: usize,
    /// The instance exists.
    is_started: bool,
}

impl Call<'_> {
    fn run(
        &mut self,
        component: &ReadyComponent,
        args: &Arguments,
        args_bytes: usize,
    ) -> wasmtime::Result<CallEnd> {
        self.store.limiter(|data| &mut data.growth);
        self.store.set_hostcall_fuel(COPY_OUT_MAX);
        // Fuel is set before the instance is made: start functions and data segments cost fuel too.
        self.store.set_fuel(self.fuel)?;
        self.charge(BYTE_FUEL * args_bytes as u64)?;
        if let Arguments::Typed(_, fuel) = args {
            self.charge(*fuel)?;
        }
        let instance = self.start(component)?;
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

    /// Makes the instance.
    fn start(&mut self, component: &ReadyComponent) -> wasmtime::Result<Instance> {
        let instance = match component.class {
            Class::Small => component.instance.instantiate(&mut self.store)?,
            Class::Large => {
                self.charge(component.instance_fuel)?;
                // It runs no code meanwhile, and wasmtime's charge for data depends on the system.
                let fuel = self.store.get_fuel()?;
                self.store.set_fuel(u64::MAX)?;
                let instance = component.instance.instantiate(&mut self.store)?;
                self.store.set_fuel(fuel)?;
                instance
            }
        };
        self.is_started = true;
        Ok(instance)
    }

    /// Passes bytes in and out as static types: 30 times as fast as value by value.
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
        let result = lift(result, ty).ok_or(CallStop::Guest(GuestFault::BadInterface))?;
        let fuel = value_fuel(&result);
        let payload = |val: Option<Box<Val>>| val.map(|val| *val).into_iter().collect::<Vec<_>>();
        let end = match (result, ty) {
            (Val::Result(Ok(val)), Type::Result(..)) => CallEnd::Returned(encode(&payload(val))?),
            (Val::Result(Err(val)), Type::Result(..)) => CallEnd::Aborted(encode(&payload(val))?),
            (val, _) => CallEnd::Returned(encode(&[val])?),
        };
        self.charge(fuel)?;
        Ok(end)
    }

    fn export(&mut self, instance: &Instance) -> wasmtime::Result<Func> {
        let function = instance.get_func(&mut self.store, self.function.index);
        let missing = || HostError::new("finding an export that was there", "it is gone");
        Ok(function.ok_or_else(|| CallStop::Machine(missing()))?)
    }

    /// Takes the fuel of values that cross the border outside of host functions.
    fn charge(&mut self, fuel: u64) -> wasmtime::Result<()> {
        match self.store.get_fuel()?.checked_sub(fuel) {
            Some(left) => self.store.set_fuel(left),
            None => Err(CallStop::Guest(GuestFault::OutOfFuel).into()),
        }
    }

    /// Takes the fuel of the memory that the guest has got since the last time.
    fn charge_memory(&mut self) -> wasmtime::Result<()> {
        let has = self.store.data().growth.memory_bytes;
        let pages = has.saturating_sub(self.memory_bytes).div_ceil(WASM_PAGE_BYTES);
        self.memory_bytes = self.memory_bytes.max(has);
        self.charge(MEMORY_PAGE_FUEL * pages as u64)
    }

    fn state(&self) -> CallState {
        let is_refused_memory = self.store.data().growth.is_refused;
        CallState { is_started: self.is_started, is_refused_memory }
    }

    /// Returns the result of a call that ended so.
    fn finish(self, end: CallEnd) -> Result<CallResult, HostError> {
        let left = self.store.get_fuel();
        let left =
            left.map_err(|error| HostError::new("reading fuel", error.into_boxed_dyn_error()))?;
        let data = self.store.into_data();
        let is_returned = matches!(end, CallEnd::Returned(_));
        let fuel = match &end {
            // After a trap the reading is stale: the guest pays all the fuel that it had.
            CallEnd::Faulted(_) => self.fuel,
            _ => self.fuel - left,
        };
        let writes = if is_returned { data.overlay.into_writes() } else { vec![] };
        Ok(CallResult { end, fuel: Fuel::new(fuel), writes, log: data.log })
    }
}

fn encode(vals: &[Val]) -> Result<Bytes, CallStop> {
    encode_vals(vals).map_err(|_| GuestFault::ResultTooLarge.into())
}
