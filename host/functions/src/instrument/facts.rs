//! Facts about a core module: its functions, imports and globals.
//!
//! The instrumentation takes the stack share of each function from here, and the upload check takes
//! numbers to compare with its limits. The module is valid: the caller has checked it.

use wasmparser::{
    BinaryReaderError, FuncType, FuncValidatorAllocations, FunctionBody, OperatorsReader, Parser,
    Payload, ValType, ValidPayload, Validator,
};

use crate::profile::engine::features;
use crate::profile::limits::STACK_SLOTS;

/// Slots of every frame, whatever the function.
const FRAME_SLOTS: u32 = 8;
/// Bytes of a body that cost one slot.
const BODY_BYTES_PER_SLOT: usize = 32;

/// Facts about one function of a core module.
#[derive(Clone, Debug)]
pub(crate) struct FunctionFacts {
    /// Parameters and locals.
    pub locals: usize,
    /// The most operands at any point.
    pub operands: usize,
    /// The deepest nesting of blocks.
    pub nesting: usize,
    /// Bytes of the body.
    pub bytes: usize,
    pub(super) results: Vec<ValType>,
}

impl FunctionFacts {
    /// Returns the slots that a call of the function takes.
    pub(super) fn share(&self) -> i32 {
        let values = (self.locals + self.operands + self.bytes / BODY_BYTES_PER_SLOT) as u32;
        (FRAME_SLOTS + values).min(STACK_SLOTS as u32 + 1) as i32
    }
}

/// Facts about a core module.
#[derive(Debug, Default)]
pub(crate) struct ModuleFacts {
    /// The module's own functions, in order.
    pub functions: Vec<FunctionFacts>,
    /// Imported functions.
    pub imports: usize,
    /// Imported and own globals.
    pub globals: u32,
    pub(super) types: Vec<FuncType>,
    pub(super) has_global_section: bool,
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

#[cfg(test)]
mod tests {
    use super::*;

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
