//! The settings of wasmtime, and the WebAssembly that functions may use.
//!
//! Promises the same outcome on every machine: proposals with results that may differ are off, NaNs
//! are canonical, fuel is counted. The level of optimisation and the pool change speed alone.
//! The prices of instructions are in `operators.rs`.

use std::num::NonZeroUsize;

use aspen_core::limits::GUEST_TABLE_ELEMENTS_MAX;
use wasmtime::{
    Config, Enabled, Inlining, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    Strategy,
};

use super::class::Class;
use super::limits::{MEMORIES_MAX, STACK_BYTES, WASM_STACK_BYTES};
use super::operators::operator_cost;

/// Instance data of a component and of a core module: far above what the upload check lets through
/// (10,000 functions and 1,000 globals make 0.5 MiB), so that the pool never decides an outcome.
const INSTANCE_BYTES_MAX: usize = 16 << 20;

/// Memory of a pool slot that stays resident between calls: a lean guest fits, so that a call costs
/// 8 us instead of 27.
const KEEP_RESIDENT_BYTES: usize = 256 << 10;

/// The same for a kernel that cannot say which pages were written: clearing all of them costs more.
const KEEP_RESIDENT_BLIND_BYTES: usize = 128 << 10;

/// The WebAssembly that functions may use: nothing with a result that may differ between machines.
/// A macro, because wasmparser and wasmtime have different versions of the type.
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

/// Returns the features that the upload check allows.
pub(crate) fn features() -> wasmparser::WasmFeatures {
    features!(wasmparser::WasmFeatures)
}

/// Returns the settings of the engine of a class. `level` and `pool` change speed, never an outcome.
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
    // Copy-on-write initialisation skips the fuel of data segments, on some systems only. A large
    // component has 10 MiB of data, too much to copy for each call: it pays a price of its own.
    config.memory_init_cow(class == Class::Large);
    // These are texts for people, made of addresses. No outcome holds them.
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

/// Returns the settings for a process that only compiles: no pool, which needs much address space, and
/// one thread for a small component. The compiled code is the same.
pub(crate) fn config_to_compile(class: Class, level: OptLevel) -> Config {
    let mut config = config(class, level, false);
    config.parallel_compilation(class == Class::Large);
    config
}

/// Returns the settings for an interpreter of portable code.
pub(crate) fn portable(class: Class) -> wasmtime::Result<Config> {
    let mut config = config(class, OptLevel::None, false);
    config.target("pulley64")?;
    Ok(config)
}

/// Returns the settings of the pool of instances.
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
