//! Small guests from text, and a shard to call them on.
//!
//! Leaves out guests written in Rust: those are in the workspace's own tests.

#![allow(dead_code, reason = "each test file uses another part")]

use std::thread;

use aspen_core::function::{CallEnd, CallInput, CallResult, Functions, GuestFault};
use aspen_core::ids::{Caller, ComponentHash, LeaseId, Revision, ShardId, Timestamp, Version};
use aspen_core::key::{Key, Value};
use aspen_core::limits::{CALL_FUEL_MAX, COMPONENT_BYTES_MAX};
use aspen_core::placement::ShardRouter;
use aspen_core::state::{Model, State};
use aspen_core::val::{Val, encode_vals};
use aspen_core::view::{HostError, Record};
use aspen_functions::{Level, Options, STACK_BYTES, WasmFunctions};
use bytes::Bytes;

/// A component whose export `run` is that of the core module with this body.
pub fn plain(body: &str) -> Bytes {
    typed(body, "", "")
}

/// Returns the same with parameters and a result, and the memory for them: `(param "a" string)`.
pub fn typed(body: &str, ty: &str, options: &str) -> Bytes {
    wasm(&format!(
        r#"(component
            (core module $m {body})
            (core instance $i (instantiate $m))
            (func (export "run") {ty} (canon lift (core func $i "run") {options})))"#
    ))
}

/// A component that has the store's functions as `$put`, `$get` and so on in its core
/// module, with its memory; lists that come back lie from 4096 on.
pub fn with_store(body: &str) -> Bytes {
    with_store_and(body, "")
}

/// Returns the same with parameters: `(param "n" u32)`.
pub fn with_store_and(body: &str, params: &str) -> Bytes {
    wasm(&format!(include_str!("store.wat"), body = body, params = params))
}

/// Returns the component, made large by a custom section of zeros.
pub fn padded(component: &Bytes) -> Bytes {
    let mut bytes = component.to_vec();
    let mut size = COMPONENT_BYTES_MAX as u32 + 2;
    // Section 0: its size, then the length of its name, the name, and the content.
    bytes.push(0);
    while size > 0x7f {
        bytes.push((size & 0x7f) as u8 | 0x80);
        size >>= 7;
    }
    bytes.extend([size as u8, 1, b'p']);
    bytes.resize(bytes.len() + COMPONENT_BYTES_MAX, 0);
    bytes.into()
}

/// WebAssembly from text.
pub fn wasm(text: &str) -> Bytes {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}")).into()
}

/// A shard with functions.
pub struct Shard {
    pub functions: WasmFunctions,
    pub model: Model,
    pub router: ShardRouter,
    pub shard: ShardId,
}

impl Shard {
    pub fn new() -> Self {
        Self::with(Options::default())
    }

    pub fn with(options: Options) -> Self {
        let functions = WasmFunctions::new(options).unwrap();
        let (router, shard) = (ShardRouter::new(1).unwrap(), ShardId::new(0));
        Self { functions, model: Model::new(), router, shard }
    }

    /// Both optimisation levels.
    pub fn levels() -> [Self; 2] {
        [Level::Speed, Level::None].map(|level| Self::with(Options { level, ..Options::default() }))
    }

    pub fn upload(&mut self, bytes: &Bytes) -> ComponentHash {
        let hash = ComponentHash::of(bytes);
        self.model.set_component(&hash, bytes).unwrap();
        hash
    }

    pub fn set(&mut self, key: &str, value: &str, version: u64) {
        let record = Record {
            value: Value::try_from(value).unwrap(),
            version: Version::new(version),
            create_revision: Revision::new(3),
            mod_revision: Revision::new(4),
            lease: LeaseId::NONE,
        };
        self.model.set(&Key::try_from(key).unwrap(), record).unwrap();
    }

    pub fn try_call(
        &self,
        component: ComponentHash,
        function: &str,
        args: &[Val],
    ) -> Result<CallResult, HostError> {
        let args = encode_vals(args).unwrap();
        let input = CallInput {
            component,
            function,
            args: &args,
            shard: self.shard,
            router: self.router,
            revision: Revision::new(7),
            time: Timestamp::new(1_000),
            seed: 42,
            caller: Caller::LOCAL,
            profile: aspen_core::ids::ProfileId::FIRST,
        };
        // Model is Sync; `dyn View` is not known to be.
        let (functions, model) = (&self.functions, &self.model);
        thread::scope(|scope| {
            let thread = thread::Builder::new().stack_size(STACK_BYTES);
            let call = || functions.call(model, &input);
            thread.spawn_scoped(scope, call).unwrap().join().unwrap()
        })
    }

    pub fn call(&self, component: ComponentHash, function: &str, args: &[Val]) -> CallResult {
        self.try_call(component, function, args).unwrap()
    }

    /// Uploads and calls `run` without arguments.
    pub fn run(&mut self, bytes: &Bytes) -> CallResult {
        let component = self.upload(bytes);
        self.call(component, "run", &[])
    }
}

/// Asserts that the call failed with this fault, paid all its fuel, and wrote nothing.
pub fn assert_fault(result: &CallResult, fault: GuestFault) {
    assert_eq!(result.end, CallEnd::Faulted(fault));
    assert_eq!(result.fuel.get(), CALL_FUEL_MAX);
    assert_eq!(result.writes, []);
}

/// The encoded result of a call that returned these values.
pub fn returned(vals: &[Val]) -> CallEnd {
    CallEnd::Returned(encode_vals(vals).unwrap())
}
