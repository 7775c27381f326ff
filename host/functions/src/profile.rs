//! The execution profile: every setting that decides what a call does, in one place.
//!
//! Promises that replicas with the same profile compute the same outcome, writes and fuel for the
//! same call, whatever their processor, operating system and load. [`PROFILE_VERSION`] changes with
//! any line of this file or of `instrument.rs` that can change an outcome.
//! What may differ between nodes (optimisation level, allocator) is chosen in `Options` and proven
//! harmless by tests.

use std::num::NonZeroUsize;

use aspen_core::ProfileId;
use aspen_core::limits::{
    GUEST_MEMORY_BYTES_MAX, GUEST_TABLE_ELEMENTS_MAX, KEY_BYTES_MAX, TXN_OPS_MAX,
};
use wasmtime::{
    Config, Enabled, Inlining, InstanceAllocationStrategy, OperatorCost, OptLevel,
    PoolingAllocationConfig, Strategy,
};

use crate::class::Class;

/// Changes whenever an outcome or the instrumented code may change; `tests/golden` notices. A version that
/// changes it must know both, so that a running cluster can go over (`node/profile`).
pub const PROFILE_VERSION: u32 = 4;

/// The profile that this file is.
pub(crate) const PROFILE: ProfileId = ProfileId::new(PROFILE_VERSION);

/// Wasmtime, as pinned in the workspace: part of the key of compiled code.
pub const WASMTIME_VERSION: &str = "48.0.8";

/// Native stack of WebAssembly frames: 64 bytes for every slot that a guest can have on all its
/// core instances together. Frames stay far below that: see `instrument.rs`.
pub(crate) const WASM_STACK_BYTES: usize = 16 << 20;

/// Stack that a thread needs to run [`crate::WasmFunctions`]: the guest's, and 2 MiB for the host
/// functions and the state's code above it. Untouched pages cost nothing.
pub const STACK_BYTES: usize = WASM_STACK_BYTES + (2 << 20);

/// Core instances of one component: wit-component makes three (module, shim, fix-up).
pub(crate) const CORE_INSTANCES_MAX: usize = 4;

/// Memories of one component: its module's. The shims have none.
pub(crate) const MEMORIES_MAX: usize = 1;

/// Tables of one component.
pub(crate) const TABLES_MAX: usize = 4;

/// Functions of a component, imported ones included. Large real guests measure 5,000.
pub(crate) const FUNCTIONS_MAX: usize = 10_000;

/// Globals of a component. Real guests have under ten; instance data must fit its pool slot.
pub(crate) const GLOBALS_MAX: usize = 1000;

/// Bytes of one function's body. Compile time of hostile code grows with its square: 64 KiB is above
/// the largest body measured in real guests (55 KiB).
pub(crate) const BODY_BYTES_MAX: usize = 64 << 10;

/// Locals of one function, parameters included. Largest measured in real guests: 549.
pub(crate) const LOCALS_MAX: usize = 1000;

/// Nested blocks of one function.
pub(crate) const NESTING_MAX: usize = 250;

/// Adapters between component and core: one per import and export.
pub(crate) const CANONICALS_MAX: usize = 1000;

/// Values that a call may copy out of the guest at once, as wasmtime counts it: all its memory.
pub(crate) const COPY_OUT_MAX: usize = GUEST_MEMORY_BYTES_MAX;

/// Keys in one `get-many`: as many as a call may write.
pub(crate) const KEYS_ASKED_MAX: usize = TXN_OPS_MAX;

/// Fuel of every host call: measured at 0.2 us, 500 us of CPU per million fuel.
pub(crate) const HOST_CALL_FUEL: u64 = 1_000;

/// Fuel per byte that goes into or out of the guest.
pub(crate) const BYTE_FUEL: u64 = 4;

/// Fuel of every value, however small, in arguments and results: each element of each list is made
/// one by one, in 0.1 to 0.4 us. Bytes that go the fast way are one value.
pub(crate) const VALUE_FUEL: u64 = 400;

/// Fuel per byte of a `list<u8>` beside other arguments, or in other results: there each byte is
/// made as a value, in 0.03 us.
pub(crate) const SLOW_BYTE_FUEL: u64 = 28;

/// Fuel of making an instance of a large component, which runs no code of its own and whose engine charges
/// nothing for data: one of 38 modules takes up to 1.3 ms.
pub(crate) const LARGE_INSTANCE_FUEL: u64 = 1_500_000;

/// The same for each of its segments, of data or of elements.
pub(crate) const SEGMENT_FUEL: u64 = 100;

/// The same for each element of its tables' segments.
pub(crate) const ELEMENT_FUEL: u64 = 40;

/// Bytes of its data for a unit of fuel: copied at 0.1 ns each, where they cannot be mapped.
pub(crate) const DATA_BYTES_PER_FUEL: u64 = 8;

/// A page of a guest's memory.
pub(crate) const WASM_PAGE_BYTES: usize = 64 << 10;

/// Memory that a call may have for nothing: what a function in Rust begins with, and as much again.
pub(crate) const FREE_MEMORY_BYTES: usize = 2 << 20;

/// Fuel of each page of 64 KiB beyond: the system clears 4 KiB at the first touch, in up to 2 us, and gets
/// them back when the call ends. No instruction could pay for that, for most touch a page again.
pub(crate) const MEMORY_PAGE_FUEL: u64 = 48_000;

/// Fuel of starting a scan.
pub(crate) const SCAN_FUEL: u64 = 3_000;

/// Fuel of every key that a scan passes.
pub(crate) const SCAN_ENTRY_FUEL: u64 = 1_500;

/// Lines that a call may log; more are dropped. Logs are for one node's operator, not replicated.
pub const LOG_LINES_MAX: usize = 64;

/// Bytes of one logged line; the rest is dropped.
pub const LOG_LINE_BYTES_MAX: usize = 256;

/// Calls that run at once in this process; others wait. It bounds the pool: 32 x 16 MiB.
pub const CALLS_AT_ONCE_MAX: usize = 32;

/// Instance data of a component and of a core module: far above what the upload check lets through
/// (10,000 functions and 1,000 globals make 0.5 MiB), so that the pool never decides an outcome.
const INSTANCE_BYTES_MAX: usize = 16 << 20;

/// Memory of a pool slot that stays resident between calls: a lean guest fits, so that a call costs
/// 8 us instead of 27.
const KEEP_RESIDENT_BYTES: usize = 256 << 10;

/// The same where the kernel cannot say which pages were written: clearing it all costs more.
const KEEP_RESIDENT_BLIND_BYTES: usize = 128 << 10;

const _: () = assert!(BYTE_FUEL * KEY_BYTES_MAX as u64 > HOST_CALL_FUEL);

/// WebAssembly that functions may use: nothing whose result may differ between machines.
/// Written for wasmparser and wasmtime alike, whose versions of the type differ.
macro_rules! features {
    ($features:ty) => {
        <$features>::MUTABLE_GLOBAL
            | <$features>::SATURATING_FLOAT_TO_INT
            | <$features>::SIGN_EXTENSION
            | <$features>::MULTI_VALUE
            | <$features>::BULK_MEMORY
            | <$features>::REFERENCE_TYPES
            | <$features>::FLOATS
            | <$features>::EXTENDED_CONST
            | <$features>::COMPONENT_MODEL
    };
}

/// What the upload check allows.
pub(crate) fn features() -> wasmparser::WasmFeatures {
    features!(wasmparser::WasmFeatures)
}

/// Settings of the engine of a class. `level` and `pool` change speed, never an outcome.
pub(crate) fn config(class: Class, level: OptLevel, pool: bool) -> Config {
    let mut config = Config::new();
    config.strategy(Strategy::Cranelift);
    config.cranelift_opt_level(level);
    config.compiler_inlining(Inlining::No);
    config.wasm_features(wasmtime::WasmFeatures::all(), false);
    config.wasm_features(features!(wasmtime::WasmFeatures), true);
    config.cranelift_nan_canonicalization(true);
    config.relaxed_simd_deterministic(true);
    config.shared_memory(false);
    config.concurrency_support(false);
    config.consume_fuel(true);
    config.operator_cost(operator_cost());
    config.epoch_interruption(false);
    config.max_wasm_stack(WASM_STACK_BYTES);
    config.async_stack_size(STACK_BYTES);
    // Copy-on-write initialisation skips the fuel of data segments, on some systems only. So a large
    // component, whose 10 MiB of data are not worth copying for each call, pays a price of its own.
    config.memory_init_cow(class == Class::Large);
    // Texts for people, made of addresses: no outcome holds them.
    config.wasm_backtrace_max_frames(None::<NonZeroUsize>);
    config.generate_address_map(false);
    config.native_unwind_info(false);
    // The simulation has no threads.
    config.parallel_compilation(!cfg!(madsim));
    config.allocation_strategy(match pool {
        true => InstanceAllocationStrategy::Pooling(pooling(class)),
        false => InstanceAllocationStrategy::OnDemand,
    });
    config
}

/// The same for a process that only compiles: without a pool, which needs much address space, and a
/// small component on one thread. The code is the same.
pub(crate) fn config_to_compile(class: Class, level: OptLevel) -> Config {
    let mut config = config(class, level, false);
    config.parallel_compilation(class == Class::Large);
    config
}

/// The same for an interpreter of portable code.
pub(crate) fn portable(class: Class) -> wasmtime::Result<Config> {
    let mut config = config(class, OptLevel::None, false);
    config.target("pulley64")?;
    Ok(config)
}

fn pooling(class: Class) -> PoolingAllocationConfig {
    let limits = class.limits();
    let slots = limits.calls_at_once as u32;
    let (instances, tables) = (limits.core_instances as u32, limits.tables as u32);
    let sees_written_pages = PoolingAllocationConfig::is_pagemap_scan_available();
    let keep = if sees_written_pages { KEEP_RESIDENT_BYTES } else { KEEP_RESIDENT_BLIND_BYTES };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots * instances)
        .total_memories(slots * MEMORIES_MAX as u32)
        .total_tables(slots * tables)
        .max_core_instances_per_component(instances)
        .max_memories_per_component(MEMORIES_MAX as u32)
        .max_tables_per_component(tables)
        .max_memories_per_module(MEMORIES_MAX as u32)
        .max_tables_per_module(tables)
        .max_component_instance_size(INSTANCE_BYTES_MAX)
        .max_core_instance_size(INSTANCE_BYTES_MAX)
        .max_memory_size(limits.memory_bytes)
        .table_elements(GUEST_TABLE_ELEMENTS_MAX)
        .linear_memory_keep_resident(keep)
        .table_keep_resident(keep)
        .max_unused_warm_slots(slots)
        .pagemap_scan(if sees_written_pages { Enabled::Yes } else { Enabled::No });
    pool
}

/// Fuel per instruction, so that a million buys at most about 1,000 us of CPU, whatever the guest does;
/// `aspen-bench attacks` measures it. A load is priced as one that waits for memory, 130 ns, for a guest
/// can make all of its loads such; to an honest one it makes a call dearer by two thirds.
fn operator_cost() -> OperatorCost {
    let mut cost = OperatorCost::new();
    macro_rules! set {
        ($fuel:literal: $($operator:ident)*) => { $( cost.$operator = $fuel; )* };
    }
    set!(160: I32Load I64Load F32Load F64Load I32Load8S I32Load8U I32Load16S I32Load16U);
    set!(160: I64Load8S I64Load8U I64Load16S I64Load16U I64Load32S I64Load32U);
    set!(48: I32Store I64Store F32Store F64Store I32Store8 I32Store16);
    set!(48: I64Store8 I64Store16 I64Store32);
    set!(2: Br BrIf BrTable);
    set!(3: I32TruncF32S I32TruncF32U I32TruncF64S I32TruncF64U I64TruncF32S I64TruncF32U);
    set!(3: I64TruncF64S I64TruncF64U I32TruncSatF32S I32TruncSatF32U I32TruncSatF64S);
    set!(3: I32TruncSatF64U I64TruncSatF32S I64TruncSatF32U I64TruncSatF64S I64TruncSatF64U);
    set!(3: F32ConvertI32S F32ConvertI32U F32ConvertI64S F32ConvertI64U F64ConvertI32S);
    set!(3: F64ConvertI32U F64ConvertI64S F64ConvertI64U);
    set!(14: I32DivS I32DivU I32RemS I32RemU I64DivS I64DivU I64RemS I64RemU DataDrop);
    set!(12: F32Add F32Sub F32Min F32Max F32Nearest F32Ceil F32Floor F32Trunc);
    set!(12: F64Add F64Sub F64Min F64Max F64Nearest F64Ceil F64Floor F64Trunc);
    set!(12: F64PromoteF32 F32DemoteF64);
    // Denormal operands take processors of Intel 40 ns.
    set!(40: F32Mul F64Mul);
    set!(48: F32Div F64Div F32Sqrt F64Sqrt);
    set!(4: Call CallIndirect TableGet);
    set!(30: ElemDrop);
    set!(100: TableSet MemoryGrow TableGrow);
    set!(200: RefFunc);
    set!(26: MemoryCopy MemoryInit TableFill TableCopy TableInit);
    // 65 ns for nothing, on processors of Intel.
    set!(90: MemoryFill);
    cost.variable.memory_grow_per_page = 255;
    cost.variable.table_fill_per_element = 4;
    cost.variable.table_copy_per_element = 8;
    cost.variable.table_init_per_element = 8;
    cost.variable.table_grow_per_element = 8;
    cost
}
