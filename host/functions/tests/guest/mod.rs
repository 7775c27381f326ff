//! Small guests from text, and a shard to call them on.
//!
//! Leaves out guests written in Rust: those are in the workspace's own tests.

#![allow(dead_code, reason = "each test file uses another part")]

use std::thread;

use aspen_core::limits::CALL_FUEL_MAX;
use aspen_core::{
    CallEnd, CallInput, CallResult, Caller, ComponentHash, Fault, Functions, GuestFault, Key,
    LeaseId, Model, Record, Revision, ShardId, ShardRouter, State, Timestamp, Val, Value, Version,
    encode_vals,
};
use aspen_functions::{Level, Options, STACK_BYTES, WasmFunctions};
use bytes::Bytes;

/// A component whose export `run` is that of the core module with this body.
pub fn plain(body: &str) -> Bytes {
    typed(body, "", "")
}

/// The same with parameters and a result, and the memory for them: `(param "a" string)`.
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
    wasm(&format!(
        r#"(component
            (type $bytes (list u8))
            (import "aspen:function/store@0.1.0" (instance $store
                (type $bytes (list u8))
                (type $v (record (field "value" $bytes) (field "version" u64)
                    (field "create-revision" u64) (field "mod-revision" u64)))
                (export "versioned" (type $versioned (eq $v)))
                (type $found (option $versioned))
                (export "get" (func (param "key" $bytes) (result $found)))
                (export "exists" (func (param "key" $bytes) (result bool)))
                (export "delete" (func (param "key" $bytes) (result bool)))
                (export "get-many" (func (param "keys" (list $bytes)) (result (list $found))))
                (type $e (record (field "key" $bytes) (field "item" $versioned)))
                (export "entry" (type $entry (eq $e)))
                (type $p (record (field "entries" (list $entry)) (field "more" bool)))
                (export "page" (type $page (eq $p)))
                (export "scan" (func (param "start" $bytes) (param "end" (option $bytes))
                    (param "reverse" bool) (param "limit" u32) (result $page)))
                (export "put" (func (param "key" $bytes) (param "value" $bytes)))))
            (core module $memory
                (memory (export "m") 40)
                (global $next (mut i32) (i32.const 4096))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                    (local $at i32)
                    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                    (global.set $next (i32.add (local.get $at) (local.get 3)))
                    (local.get $at)))
            (core instance $mem (instantiate $memory))
            (core func $get (canon lower (func $store "get")
                (memory (core memory $mem "m")) (realloc (core func $mem "realloc"))))
            (core func $get-many (canon lower (func $store "get-many")
                (memory (core memory $mem "m")) (realloc (core func $mem "realloc"))))
            (core func $scan (canon lower (func $store "scan")
                (memory (core memory $mem "m")) (realloc (core func $mem "realloc"))))
            (core func $put (canon lower (func $store "put") (memory (core memory $mem "m"))))
            (core func $exists (canon lower (func $store "exists") (memory (core memory $mem "m"))))
            (core func $delete (canon lower (func $store "delete") (memory (core memory $mem "m"))))
            (core module $m
                (import "s" "m" (memory 40))
                (import "s" "get" (func $get (param i32 i32 i32)))
                (import "s" "put" (func $put (param i32 i32 i32 i32)))
                (import "s" "exists" (func $exists (param i32 i32) (result i32)))
                (import "s" "delete" (func $delete (param i32 i32) (result i32)))
                (import "s" "get-many" (func $get-many (param i32 i32 i32)))
                (import "s" "scan" (func $scan (param i32 i32 i32 i32 i32 i32 i32 i32)))
                {body})
            (core instance $i (instantiate $m (with "s" (instance
                (export "m" (memory $mem "m"))
                (export "get" (func $get)) (export "put" (func $put))
                (export "get-many" (func $get-many)) (export "scan" (func $scan))
                (export "exists" (func $exists)) (export "delete" (func $delete))))))
            (func (export "run") (result u64) (canon lift (core func $i "run"))))"#
    ))
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
        [Level::Speed, Level::None].map(|level| Self::with(Options { level, cache: None }))
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
    ) -> Result<CallResult, Fault> {
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

/// The call failed so, was charged everything, and wrote nothing.
pub fn assert_fault(result: &CallResult, fault: GuestFault) {
    assert_eq!(result.end, CallEnd::Faulted(fault));
    assert_eq!(result.fuel.get(), CALL_FUEL_MAX);
    assert_eq!(result.writes, []);
}

/// The encoded result of a call that returned these values.
pub fn returned(vals: &[Val]) -> CallEnd {
    CallEnd::Returned(encode_vals(vals).unwrap())
}
