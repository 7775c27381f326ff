//! What the same function costs in other languages: size, compilation, time and fuel of a call.
//!
//! Leaves out languages whose toolchain `make language-toolchains` has not installed, and says so.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use aspen_core::ComponentHash;
use aspen_functions::WasmFunctions;
use bytes::Bytes;

use crate::{Failure, call};

/// Calls in a round of a large component: a call takes about a hundred times as long.
const LARGE_CALLS: u64 = 200;

/// The examples in other languages, and what their toolchain has installed.
const EXAMPLES: [(&str, &str, &str); 2] = [
    ("JavaScript", "examples/bank-js", "node_modules/@bytecodealliance/componentize-js"),
    ("Python", "examples/bank-py", ".venv/bin/componentize-py"),
];

/// Measures the bank in Rust and in what there is besides.
pub fn measure(rust: &[u8]) -> Result<(), Failure> {
    println!("\na function in other languages (state in memory, one thread)");
    show("Rust", rust, 100 * LARGE_CALLS)?;
    for (language, example, toolchain) in EXAMPLES {
        let folder = Path::new(example);
        if !folder.join(toolchain).exists() {
            println!("  {language}: left out, see `make language-toolchains`");
            continue;
        }
        let temporary = tempfile::tempdir()?;
        let output = temporary.path().join("bank.wasm");
        let status = Command::new("sh").arg(folder.join("build.sh")).arg(&output).status()?;
        if !status.success() {
            return Err(format!("{example}/build.sh ended with {status}").into());
        }
        show(language, &std::fs::read(output)?, LARGE_CALLS)?;
    }
    Ok(())
}

fn show(language: &str, component: &[u8], calls: u64) -> Result<(), Failure> {
    let bytes = Bytes::copy_from_slice(component);
    let start = Instant::now();
    let hash = ComponentHash::of(&bytes);
    WasmFunctions::new(Default::default())?.compile(&hash, &bytes, &|| false)?;
    let compiled = start.elapsed().as_secs_f64();
    let ([empty, transfer], [empty_fuel, fuel]) = call::cost(component.to_vec(), calls)?;
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    println!(
        "  {language:<11} {:>6} kB, compiled in {compiled:>5.2} s, empty call {:>7.1} us and {empty_fuel} fuel, \
         two-key transfer {:>7.1} us and {fuel} fuel",
        component.len() / 1000,
        us(empty),
        us(transfer),
    );
    Ok(())
}
