//! The upload check of one core module.
//!
//! The validator has found the module valid before. Leaves out what can be counted over the whole
//! component: `counts.rs` does that.

use aspen_core::limits::GUEST_TABLE_ELEMENTS_MAX;
use snafu::ResultExt;
use wasmparser::{MemorySectionReader, Parser, Payload, TableSectionReader};

use super::error::{ComponentError, InvalidSnafu, StartSnafu, at_most};
use crate::instrument::facts::facts;
use crate::profile::class::{Class, Limits};
use crate::profile::limits::WASM_PAGE_BYTES;

/// Checks the limits of a module, one of `modules` in its component. Returns the number of functions
/// that the module imports.
pub(super) fn check_module(
    module: &[u8],
    modules: usize,
    class: Class,
) -> Result<u64, ComponentError> {
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
            Payload::MemorySection(section) => check_memories(section, limits)?,
            Payload::StartSection { .. } if class == Class::Large => return StartSnafu.fail(),
            Payload::TableSection(section) => check_tables(section)?,
            _ => {}
        }
    }
    Ok(facts.imports as u64)
}

fn check_memories(
    memories: MemorySectionReader<'_>,
    limits: &Limits,
) -> Result<(), ComponentError> {
    for memory in memories {
        let pages = memory.context(InvalidSnafu)?.initial;
        let bytes = pages.saturating_mul(WASM_PAGE_BYTES as u64);
        at_most("bytes of memory at the start", bytes, limits.memory_bytes)?;
    }
    Ok(())
}

fn check_tables(tables: TableSectionReader<'_>) -> Result<(), ComponentError> {
    for table in tables {
        let elements = table.context(InvalidSnafu)?.ty.initial;
        at_most("elements in one table", elements, GUEST_TABLE_ELEMENTS_MAX)?;
    }
    Ok(())
}
