//! The numbers of a component: modules, functions, memories, bytes of code, from its sections alone.
//!
//! Promises to read every section once and to compile nothing. A component inside the component may
//! import and export, which is how a toolchain names the types of the outer component's exports. It
//! holds nothing that runs.

use snafu::{OptionExt, ResultExt, ensure};
use wasmparser::{
    DataSectionReader, ElementItems, ElementSectionReader, Instance, InstanceSectionReader, Parser,
    Payload,
};

use super::error::{ComponentError, InvalidSnafu, NestedSnafu, NotWasmSnafu, at_most};
use super::origins::Origins;
use crate::profile::class::{Class, Limits};
use crate::profile::limits::MEMORIES_MAX;
use crate::profile::prices::{
    DATA_BYTES_PER_FUEL, ELEMENT_FUEL, LARGE_INSTANCE_FUEL, SEGMENT_FUEL,
};

/// The numbers of a component.
#[derive(Default)]
pub(super) struct Counts<'a> {
    pub modules: Vec<&'a [u8]>,
    /// Names of the imports that are more than types.
    pub imports: Vec<String>,
    /// Names of the exports.
    pub exports: Vec<String>,
    pub origins: Origins,
    /// The module of each core instance.
    pub instances: Vec<u32>,
    /// The modules and components that the parser has entered and not left: true for a component.
    inside: Vec<bool>,
    nested: usize,
    canonicals: u64,
    functions: u64,
    memories: u64,
    tables: u64,
    globals: u64,
    segments: u64,
    data_bytes: u64,
    elements: u64,
}

/// Counts a component. Fails at bytes that cannot be read, and at limits of single parts.
pub(super) fn count<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Counts<'a>, ComponentError> {
    let mut counts = Counts::default();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.context(InvalidSnafu)?;
        match counts.inside.last() {
            Some(true) => check_nested(&payload)?,
            _ => counts.add(&payload, bytes, limits)?,
        }
        match payload {
            Payload::ModuleSection { .. } => counts.inside.push(false),
            Payload::ComponentSection { .. } => counts.inside.push(true),
            Payload::End(_) => {
                counts.inside.pop();
            }
            _ => {}
        }
    }
    Ok(counts)
}

fn check_nested(payload: &Payload<'_>) -> Result<(), ComponentError> {
    match payload {
        Payload::Version { .. } | Payload::End(_) | Payload::CustomSection(_) => Ok(()),
        Payload::ComponentTypeSection(_) | Payload::ComponentAliasSection(_) => Ok(()),
        Payload::ComponentImportSection(_) | Payload::ComponentExportSection(_) => Ok(()),
        _ => NestedSnafu.fail(),
    }
}

impl<'a> Counts<'a> {
    /// Compares the numbers with the limits of the component's class.
    pub(super) fn check(&self, limits: &Limits) -> Result<(), ComponentError> {
        at_most("core modules", self.modules.len() as u64, limits.core_instances)?;
        at_most("core instances", self.instances.len() as u64, limits.core_instances)?;
        at_most("imports and exports of functions", self.canonicals, limits.canonicals)?;
        at_most("functions", self.functions, limits.functions)?;
        at_most("memories", self.memories, MEMORIES_MAX)?;
        at_most("tables", self.tables, limits.tables)?;
        at_most("globals", self.globals, limits.globals)
    }

    /// Returns the fuel of making an instance. No module has more than one instance, so each segment is
    /// used once.
    pub(super) fn instance_fuel(&self, class: Class) -> u64 {
        match class {
            Class::Small => 0,
            Class::Large => {
                let data = self.data_bytes / DATA_BYTES_PER_FUEL;
                let segments = SEGMENT_FUEL * self.segments + ELEMENT_FUEL * self.elements;
                LARGE_INSTANCE_FUEL + segments + data
            }
        }
    }

    fn add(
        &mut self,
        payload: &Payload<'a>,
        bytes: &'a [u8],
        limits: &Limits,
    ) -> Result<(), ComponentError> {
        match payload {
            Payload::ComponentSection { .. } => {
                self.nested += 1;
                ensure!(self.nested <= limits.nested, NestedSnafu);
            }
            Payload::ModuleSection { unchecked_range, .. } => {
                let module = bytes.get(unchecked_range.clone()).context(NotWasmSnafu)?;
                self.modules.push(module);
            }
            Payload::InstanceSection(section) => self.add_instances(section.clone())?,
            Payload::ComponentCanonicalSection(section) => {
                self.canonicals += u64::from(section.count());
                self.origins.add_lifted(section.clone())?;
            }
            Payload::ComponentInstanceSection(section) => {
                self.origins.add_instances(section.clone())?;
            }
            Payload::ComponentAliasSection(section) => self.origins.add_aliases(section.clone())?,
            Payload::ComponentImportSection(section) => {
                self.origins.add_imports(section.clone(), &mut self.imports)?;
            }
            Payload::ComponentExportSection(section) => {
                self.origins.add_exports(section.clone(), &mut self.exports)?;
            }
            Payload::FunctionSection(section) => self.functions += u64::from(section.count()),
            Payload::MemorySection(section) => self.memories += u64::from(section.count()),
            Payload::TableSection(section) => self.tables += u64::from(section.count()),
            Payload::GlobalSection(section) => self.globals += u64::from(section.count()),
            Payload::DataSection(section) => self.add_data(section.clone())?,
            Payload::ElementSection(section) => self.add_elements(section.clone())?,
            Payload::CodeSectionEntry(body) => {
                at_most("bytes in one function", body.range().len() as u64, limits.body_bytes)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn add_instances(&mut self, section: InstanceSectionReader<'_>) -> Result<(), ComponentError> {
        for instance in section {
            if let Instance::Instantiate { module_index, .. } = instance.context(InvalidSnafu)? {
                self.instances.push(module_index);
            }
        }
        Ok(())
    }

    fn add_data(&mut self, section: DataSectionReader<'_>) -> Result<(), ComponentError> {
        self.segments += u64::from(section.count());
        for data in section {
            self.data_bytes += data.context(InvalidSnafu)?.data.len() as u64;
        }
        Ok(())
    }

    fn add_elements(&mut self, section: ElementSectionReader<'_>) -> Result<(), ComponentError> {
        self.segments += u64::from(section.count());
        for element in section {
            self.elements += u64::from(match element.context(InvalidSnafu)?.items {
                ElementItems::Functions(items) => items.count(),
                ElementItems::Expressions(_, items) => items.count(),
            });
        }
        Ok(())
    }
}
