//! The origin of each function and each instance of a component: imported, or its own.
//!
//! Finds an import that the component exports again under another name. Such a component is valid,
//! but wasmtime cannot run it. Every section gives indices in its order, as the format defines them.

use snafu::ResultExt;
use wasmparser::{
    CanonicalFunction, ComponentAlias, ComponentAliasSectionReader,
    ComponentCanonicalSectionReader, ComponentExportSectionReader, ComponentExternalKind,
    ComponentImportSectionReader, ComponentInstance, ComponentInstanceSectionReader,
    ComponentTypeRef, TypeBounds,
};

use super::error::{ComponentError, InvalidSnafu};

/// The origins, by index: true for an import.
#[derive(Default)]
pub(super) struct Origins {
    functions: Vec<bool>,
    instances: Vec<bool>,
    /// An imported function that the component exports, or passes on to be exported.
    pub exported_import: Option<String>,
}

impl Origins {
    fn is_imported(&self, kind: ComponentExternalKind, index: u32) -> bool {
        match kind {
            ComponentExternalKind::Func => at(&self.functions, index),
            ComponentExternalKind::Instance => at(&self.instances, index),
            _ => false,
        }
    }

    /// Adds an alias or an export: it gives something that exists one more index.
    fn name_again(&mut self, kind: ComponentExternalKind, is_imported: bool) {
        match kind {
            ComponentExternalKind::Func => self.functions.push(is_imported),
            ComponentExternalKind::Instance => self.instances.push(is_imported),
            _ => {}
        }
    }

    /// Adds the functions that are lifted from core functions.
    pub(super) fn add_lifted(
        &mut self,
        section: ComponentCanonicalSectionReader<'_>,
    ) -> Result<(), ComponentError> {
        for function in section {
            if let CanonicalFunction::Lift { .. } = function.context(InvalidSnafu)? {
                self.functions.push(false);
            }
        }
        Ok(())
    }

    /// Adds the instances that the component makes.
    pub(super) fn add_instances(
        &mut self,
        section: ComponentInstanceSectionReader<'_>,
    ) -> Result<(), ComponentError> {
        for instance in section {
            let instance = instance.context(InvalidSnafu)?;
            if let ComponentInstance::Instantiate { args, .. } = instance {
                let mut args = args.iter();
                let again = args.find(|arg| self.is_imported(arg.kind, arg.index));
                let again = again.map(|arg| arg.name.to_string());
                self.exported_import = again.or(self.exported_import.take());
            }
            self.instances.push(false);
        }
        Ok(())
    }

    /// Adds the aliases of exports of instances.
    pub(super) fn add_aliases(
        &mut self,
        section: ComponentAliasSectionReader<'_>,
    ) -> Result<(), ComponentError> {
        for alias in section {
            let alias = alias.context(InvalidSnafu)?;
            if let ComponentAlias::InstanceExport { kind, instance_index, .. } = alias {
                let is_imported = at(&self.instances, instance_index);
                self.name_again(kind, is_imported);
            }
        }
        Ok(())
    }

    /// Adds the imports, and to `names` the names of those that are more than types.
    pub(super) fn add_imports(
        &mut self,
        section: ComponentImportSectionReader<'_>,
        names: &mut Vec<String>,
    ) -> Result<(), ComponentError> {
        for import in section {
            let import = import.context(InvalidSnafu)?;
            match import.ty {
                ComponentTypeRef::Func(_) => self.functions.push(true),
                ComponentTypeRef::Instance(_) => self.instances.push(true),
                _ => {}
            }
            // `use types.{...}` imports an equal type: a name, no capability.
            if !matches!(import.ty, ComponentTypeRef::Type(TypeBounds::Eq(_))) {
                names.push(import.name.name.to_string());
            }
        }
        Ok(())
    }

    /// Adds the exports, and their names to `names`.
    pub(super) fn add_exports(
        &mut self,
        section: ComponentExportSectionReader<'_>,
        names: &mut Vec<String>,
    ) -> Result<(), ComponentError> {
        for export in section {
            let export = export.context(InvalidSnafu)?;
            let name = export.name.name.to_string();
            let is_imported = self.is_imported(export.kind, export.index);
            if export.kind == ComponentExternalKind::Func && is_imported {
                self.exported_import = Some(name.clone());
            }
            self.name_again(export.kind, is_imported);
            names.push(name);
        }
        Ok(())
    }
}

/// Returns true if the thing at the index is imported. The validator refuses an index without a thing.
fn at(imported: &[bool], index: u32) -> bool {
    imported.get(index as usize).copied().unwrap_or(false)
}
