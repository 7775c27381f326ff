//! The costs of the same function in other languages: size, compilation, time and fuel of a call.
//!
//! Leaves out languages whose toolchain `make language-toolchains` has not installed, and says so.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use aspen_core::ids::ComponentHash;
use aspen_core::limits::COMPONENT_BYTES_MAX;
use aspen_functions::WasmFunctions;
use bytes::Bytes;

use crate::failure::Failure;
use crate::{call, dev};

/// Calls in a round of a large component: a call takes about a hundred times as long.
const LARGE_CALLS: u64 = 200;

/// The examples in other languages, and the installed parts of their toolchain.
const EXAMPLES: [(&str, &str, &str); 3] = [
    ("C", "examples/bank-c", ".clang"),
    ("JavaScript", "examples/bank-js", "node_modules/@bytecodealliance/componentize-js"),
    ("Python", "examples/bank-py", ".venv/bin/componentize-py"),
];

/// Measures the bank in Rust and in every other language that is installed.
pub fn measure(rust: &[u8]) -> Result<(), Failure> {
    println!("\na function in other languages (state in memory, one thread)");
    show("Rust", rust)?;
    for (language, example, toolchain) in EXAMPLES {
        let folder = Path::new(example);
        if !folder.join(toolchain).exists() {
            println!("  {language}: left out, see `make language-toolchains`");
            continue;
        }
        let temporary = tempfile::tempdir()?;
        let output = temporary.path().join("bank.wasm");
        let mut build = Command::new("sh");
        build.arg(folder.join("build.sh")).arg(&output).env("ASPEN", dev::aspen()?);
        let status = build.status()?;
        if !status.success() {
            return Err(format!("{example}/build.sh ended with {status}").into());
        }
        show(language, &std::fs::read(output)?)?;
    }
    Ok(())
}

fn show(language: &str, component: &[u8]) -> Result<(), Failure> {
    let is_large = component.len() > COMPONENT_BYTES_MAX;
    let calls = if is_large { LARGE_CALLS } else { 100 * LARGE_CALLS };
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
