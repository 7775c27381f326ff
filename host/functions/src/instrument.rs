//! Counts call depth inside the guest, so that recursion ends at the same depth everywhere.
//!
//! Native stack depth depends on compiler and processor: measured, the same code recursed 16,376
//! deep in one engine and 65 in another. So every core module gets one more global, the slots that
//! are left. Every function takes its share at its entry and gives it back at its end:
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
//! Promises the same depth at every optimisation level. Native stack that ends earlier is a fault of
//! the host. The input is valid WebAssembly: the compiler calls the upload check before.
//! `instrument/facts.rs` computes the shares, `instrument/counter.rs` writes the code of one module.

use wasm_encoder as encoder;
use wasm_encoder::reencode::{Error, Reencode, ReencodeComponent};
use wasmparser::{BinaryReaderError, Parser, Payload};

use self::counter::module;
use crate::profile::class::Class;

mod counter;
pub(crate) mod facts;

/// Returns the component with a depth counter in each of its core modules.
pub(crate) fn component(bytes: &[u8]) -> Result<Vec<u8>, Error<BinaryReaderError>> {
    let mut component = encoder::Component::new();
    let class = Class::of(bytes.len());
    let code = code_bytes(bytes).map_err(Error::UserError)?;
    Modules { class, code }.parse_component(&mut component, Parser::new(0), bytes)?;
    Ok(component.finish())
}

/// Returns the bytes of code in a module, or in all modules of a component.
fn code_bytes(bytes: &[u8]) -> Result<u64, BinaryReaderError> {
    let mut code = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        if let Payload::CodeSectionStart { range, .. } = payload? {
            code += range.len() as u64;
        }
    }
    Ok(code)
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

    /// Drops the section, as `counter.rs` does in modules.
    fn parse_component_custom_section(
        &mut self,
        _component: &mut encoder::Component,
        _section: wasmparser::CustomSectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        Ok(())
    }
}
