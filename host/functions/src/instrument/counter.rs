//! Adds the depth counter to one core module.
//!
//! Promises that the result is valid if the module is: a global more, and every body as drawn in
//! `instrument.rs`. Custom sections are dropped.

use std::collections::BTreeMap;

use wasm_encoder as encoder;
use wasm_encoder::reencode::{Error, Reencode, utils};
use wasmparser::{BinaryReaderError, FunctionBody, Operator, Parser, ValType};

use super::facts::{ModuleFacts, facts};

/// Returns the module with a counter of `slots` slots.
pub(super) fn module(
    bytes: &[u8],
    slots: u32,
) -> Result<encoder::Module, Error<BinaryReaderError>> {
    let mut counter = Counter::new(facts(bytes).map_err(Error::UserError)?, slots);
    let mut module = encoder::Module::new();
    counter.parse_core_module(&mut module, Parser::new(0), bytes)?;
    Ok(module)
}

/// Copies a core module and adds the counter.
struct Counter {
    facts: ModuleFacts,
    /// Stack slots that an instance begins with.
    slots: u32,
    /// The function whose body comes next.
    next: usize,
    is_global_added: bool,
    /// Block types that are added for functions of several results, and their indices.
    blocks: BTreeMap<Vec<ValType>, u32>,
}

impl Counter {
    fn new(facts: ModuleFacts, slots: u32) -> Self {
        let mut blocks = BTreeMap::new();
        let many = facts.functions.iter().map(|function| &function.results);
        for results in many.filter(|results| results.len() > 1) {
            let index = (facts.types.len() + blocks.len()) as u32;
            blocks.entry(results.clone()).or_insert(index);
        }
        Self { facts, slots, next: 0, is_global_added: false, blocks }
    }

    fn add_global(&mut self, section: &mut encoder::GlobalSection) {
        let val_type = encoder::ValType::I32;
        let ty = encoder::GlobalType { val_type, mutable: true, shared: false };
        section.global(ty, &encoder::ConstExpr::i32_const(self.slots as i32));
        self.is_global_added = true;
    }

    fn block_type(&mut self, results: &[ValType]) -> Result<encoder::BlockType, ErrorOf<Self>> {
        Ok(match results {
            [] => encoder::BlockType::Empty,
            [one] => encoder::BlockType::Result(self.val_type(*one)?),
            many => encoder::BlockType::FunctionType(self.blocks[many]),
        })
    }
}

type ErrorOf<R> = Error<<R as Reencode>::Error>;

impl Reencode for Counter {
    type Error = BinaryReaderError;

    fn parse_type_section(
        &mut self,
        types: &mut encoder::TypeSection,
        section: wasmparser::TypeSectionReader<'_>,
    ) -> Result<(), ErrorOf<Self>> {
        utils::parse_type_section(self, types, section)?;
        let mut blocks: Vec<_> = self.blocks.clone().into_iter().collect();
        blocks.sort_by_key(|(_, index)| *index);
        for (results, _) in blocks {
            let results = results.into_iter().map(|result| self.val_type(result));
            types.ty().function([], results.collect::<Result<Vec<_>, _>>()?);
        }
        Ok(())
    }

    fn parse_global_section(
        &mut self,
        globals: &mut encoder::GlobalSection,
        section: wasmparser::GlobalSectionReader<'_>,
    ) -> Result<(), ErrorOf<Self>> {
        utils::parse_global_section(self, globals, section)?;
        self.add_global(globals);
        Ok(())
    }

    /// Drops the section: it holds names for debuggers, and nothing has checked it.
    fn parse_custom_section(
        &mut self,
        _module: &mut encoder::Module,
        _section: wasmparser::CustomSectionReader<'_>,
    ) -> Result<(), ErrorOf<Self>> {
        Ok(())
    }

    /// Gives a module without globals the section in its place, before exports and code.
    fn intersperse_section_hook(
        &mut self,
        module: &mut encoder::Module,
        _after: Option<encoder::SectionId>,
        before: Option<encoder::SectionId>,
    ) -> Result<(), ErrorOf<Self>> {
        use encoder::SectionId::{Custom, Function, Global, Import, Memory, Table, Tag, Type};
        let is_early = matches!(
            before,
            Some(Custom | Type | Import | Function | Table | Memory | Tag | Global)
        );
        let is_needed = !self.is_global_added && !self.facts.has_global_section;
        if is_needed && !is_early && !self.facts.functions.is_empty() {
            let mut globals = encoder::GlobalSection::new();
            self.add_global(&mut globals);
            module.section(&globals);
        }
        Ok(())
    }

    fn parse_function_body(
        &mut self,
        code: &mut encoder::CodeSection,
        body: FunctionBody<'_>,
    ) -> Result<(), ErrorOf<Self>> {
        let function = self.facts.functions[self.next].clone();
        self.next += 1;
        let (left, share) = (self.facts.globals, function.share());
        let block = self.block_type(&function.results)?;
        let mut out = self.new_function_with_parsed_locals(&body)?;
        let mut sink = out.instructions();
        sink.global_get(left).i32_const(share).i32_lt_u();
        sink.if_(encoder::BlockType::Empty).unreachable().end();
        sink.global_get(left).i32_const(share).i32_sub().global_set(left).block(block);

        let mut labels = 0u32;
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let operator = operators.read()?;
            match operator {
                Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => labels += 1,
                // The last `end` is the body's own and closes our block.
                Operator::End => labels = labels.saturating_sub(1),
                Operator::Return => {
                    out.instructions().br(labels);
                    continue;
                }
                _ => {}
            }
            out.instruction(&self.instruction(operator)?);
        }
        let mut sink = out.instructions();
        sink.global_get(left).i32_const(share).i32_add().global_set(left).end();
        code.function(&out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use aspen_core::limits::GUEST_STACK_SLOTS_MAX;
    use wasmparser::Validator;

    use super::*;
    use crate::profile::engine::features;

    fn instrument(wat: &str) -> Vec<u8> {
        let bytes = module(&wat::parse_str(wat).unwrap(), GUEST_STACK_SLOTS_MAX).unwrap().finish();
        Validator::new_with_features(features()).validate_all(&bytes).unwrap();
        bytes
    }

    #[test]
    fn every_shape_of_module_stays_valid() {
        for wat in [
            "(module)",
            "(module (func))",
            "(module (global i32 (i32.const 1)) (func (export \"f\")))",
            "(module (import \"a\" \"g\" (global i32)) (func (result i32) global.get 0))",
            "(module (memory 1) (data (i32.const 0) \"a\") (func (result i32 i64) i32.const 1 i64.const 2))",
            "(module (func (param i32) (result i32) (block (loop (br_if 1 (local.get 0)) (return (i32.const 1)))) (i32.const 2)))",
            "(module (func (result i32 i64) (i32.const 1) (i64.const 2) (br_table 0 0 (i32.const 0))))",
            "(module (func (result i64 i32) (i64.const 1) (i32.const 2) return))",
        ] {
            instrument(wat);
        }
    }
}
