//! Counts call depth inside the guest, so that recursion ends at the same depth everywhere.
//!
//! Native stack depth depends on compiler and processor: measured, the same code recursed 16,376
//! deep in one engine and 65 in another. So every core module gets one more global, the slots that
//! are left, and every function takes its share when entered and gives it back when left:
//!
//! ```text
//! (func ...)  ==>  (func ...
//!                    (if (i32.lt_u (global.get $left) (i32.const SHARE)) (then unreachable))
//!                    (global.set $left (i32.sub (global.get $left) (i32.const SHARE)))
//!                    (block (result ...) BODY with every `return` as a branch to this block)
//!                    (global.set $left (i32.add (global.get $left) (i32.const SHARE))))
//! ```
//!
//! SHARE = 8 + locals + operands + bytes of the body / 32. The last part is for the optimiser, which
//! keeps values alive across a loop that the code itself computes anew each time: at 7 bytes of code
//! and 8 bytes of frame each, 64 bytes of native stack per slot are enough for any function.
//! Promises the same depth at every optimisation level; running out of native stack before that is
//! a fault of the host. The input is valid WebAssembly: `check.rs` comes first.

use std::collections::BTreeMap;

use wasm_encoder as encoder;
use wasm_encoder::reencode::{Error, Reencode, ReencodeComponent, utils};
use wasmparser::{
    BinaryReaderError, FuncType, FuncValidatorAllocations, FunctionBody, Operator, OperatorsReader,
    Parser, Payload, ValType, ValidPayload, Validator,
};

use crate::class::{Class, STACK_SLOTS};
use crate::profile::features;

const FRAME_SLOTS: u32 = 8;
const BODY_BYTES_PER_SLOT: usize = 32;

/// What one function of a core module is like.
#[derive(Clone, Debug)]
pub(crate) struct FunctionFacts {
    /// Parameters and locals.
    pub locals: usize,
    /// Most operands at any point.
    pub operands: usize,
    /// Deepest nesting of blocks.
    pub nesting: usize,
    /// Bytes of its body.
    pub bytes: usize,
    results: Vec<ValType>,
}

impl FunctionFacts {
    fn share(&self) -> i32 {
        let values = (self.locals + self.operands + self.bytes / BODY_BYTES_PER_SLOT) as u32;
        (FRAME_SLOTS + values).min(STACK_SLOTS as u32 + 1) as i32
    }
}

/// What a core module holds.
#[derive(Debug, Default)]
pub(crate) struct ModuleFacts {
    /// Its own functions, in order.
    pub functions: Vec<FunctionFacts>,
    /// Imported functions.
    pub imports: usize,
    /// Imported and own globals.
    pub globals: u32,
    types: Vec<FuncType>,
    has_global_section: bool,
}

/// Reads a valid core module.
pub(crate) fn facts(module: &[u8]) -> Result<ModuleFacts, BinaryReaderError> {
    let mut facts = ModuleFacts::default();
    let mut type_of: Vec<u32> = vec![];
    let mut validator = Validator::new_with_features(features());
    let mut allocations = FuncValidatorAllocations::default();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        match &payload {
            Payload::TypeSection(section) => {
                for ty in section.clone().into_iter_err_on_gc_types() {
                    facts.types.push(ty?);
                }
            }
            Payload::ImportSection(section) => {
                for import in section.clone().into_imports() {
                    match import?.ty {
                        wasmparser::TypeRef::Global(_) => facts.globals += 1,
                        wasmparser::TypeRef::Func(_) => facts.imports += 1,
                        _ => {}
                    }
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section.clone() {
                    type_of.push(ty?);
                }
            }
            Payload::GlobalSection(section) => {
                facts.globals += section.count();
                facts.has_global_section = true;
            }
            _ => {}
        }
        if let ValidPayload::Func(function, body) = validator.payload(&payload)? {
            let mut function = function.into_validator(allocations);
            let ty = &facts.types[type_of[facts.functions.len()] as usize];
            let results = ty.results().to_vec();
            facts.functions.push(function_facts(&mut function, &body, results)?);
            allocations = function.into_allocations();
        }
    }
    Ok(facts)
}

fn function_facts(
    function: &mut wasmparser::FuncValidator<wasmparser::ValidatorResources>,
    body: &FunctionBody<'_>,
    results: Vec<ValType>,
) -> Result<FunctionFacts, BinaryReaderError> {
    let mut reader = body.get_binary_reader();
    function.read_locals(&mut reader)?;
    let (mut operands, mut nesting) = (0, 0);
    let mut operators = OperatorsReader::new(reader);
    while !operators.eof() {
        let (operator, offset) = operators.read_with_offset()?;
        function.op(offset, &operator)?;
        operands = operands.max(function.operand_stack_height() as usize);
        nesting = nesting.max(function.control_stack_height() as usize);
    }
    let locals = function.len_locals() as usize;
    Ok(FunctionFacts { locals, operands, nesting, bytes: body.range().len(), results })
}

/// The component with a depth counter in each of its core modules.
pub(crate) fn component(bytes: &[u8]) -> Result<Vec<u8>, Error<BinaryReaderError>> {
    let mut component = encoder::Component::new();
    let class = Class::of(bytes.len());
    let code = code_bytes(bytes).map_err(Error::UserError)?;
    Modules { class, code }.parse_component(&mut component, Parser::new(0), bytes)?;
    Ok(component.finish())
}

/// Bytes of code in a module, or in all those of a component.
fn code_bytes(bytes: &[u8]) -> Result<u64, BinaryReaderError> {
    let mut code = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        if let Payload::CodeSectionStart { range, .. } = payload? {
            code += range.len() as u64;
        }
    }
    Ok(code)
}

fn module(bytes: &[u8], slots: u32) -> Result<encoder::Module, Error<BinaryReaderError>> {
    let mut counter = Counter::new(facts(bytes).map_err(Error::UserError)?, slots);
    let mut module = encoder::Module::new();
    counter.parse_core_module(&mut module, Parser::new(0), bytes)?;
    Ok(module)
}

/// Copies a component and instruments its core modules.
struct Modules {
    class: Class,
    /// Bytes of code in all modules.
    code: u64,
}

impl Reencode for Modules {
    type Error = BinaryReaderError;
}

impl ReencodeComponent for Modules {
    fn parse_component_submodule(
        &mut self,
        component: &mut encoder::Component,
        _parser: Parser,
        bytes: &[u8],
    ) -> Result<(), Error<Self::Error>> {
        let code = code_bytes(bytes).map_err(Error::UserError)?;
        let slots = self.class.stack_slots(code, self.code);
        component.section(&encoder::ModuleSection(&module(bytes, slots)?));
        Ok(())
    }

    /// Dropped, as in modules.
    fn parse_component_custom_section(
        &mut self,
        _component: &mut encoder::Component,
        _section: wasmparser::CustomSectionReader<'_>,
    ) -> Result<(), ErrorOf<Self>> {
        Ok(())
    }
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

    /// Dropped: names for debuggers, which nobody has checked.
    fn parse_custom_section(
        &mut self,
        _module: &mut encoder::Module,
        _section: wasmparser::CustomSectionReader<'_>,
    ) -> Result<(), ErrorOf<Self>> {
        Ok(())
    }

    /// A module without globals gets the section where it belongs: before exports and code.
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

    use super::*;

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

    #[test]
    fn share_grows_with_locals_operands_and_code() {
        let share = |wat: &str| facts(&wat::parse_str(wat).unwrap()).unwrap().functions[0].share();
        assert_eq!(share("(module (func))"), 8);
        assert_eq!(share("(module (func (param i32) (local i64 i64)))"), 11);
        assert_eq!(share("(module (func i32.const 1 i32.const 2 drop drop))"), 10);
        let long = format!("(module (func {}))", "nop ".repeat(320));
        assert_eq!(share(&long), 18);
    }
}
