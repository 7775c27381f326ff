//! The example functions as components, built once per test process.
//!
//! Promises what `aspen build` promises, because it is the same code. Cargo's own lock makes it safe
//! to use from several test processes at once; the target folder is `target/guests`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use aspen::build::{BuildOptions, build};

static BUILT: Mutex<BTreeMap<String, Vec<u8>>> = Mutex::new(BTreeMap::new());

/// The component of `examples/NAME`.
///
/// # Panics
/// If it cannot be built: the message says what to install.
pub fn component(name: &str) -> Vec<u8> {
    let mut built = BUILT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(component) = built.get(name) {
        return component.clone();
    }
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name);
    let component = match build(&dir, &BuildOptions::default()) {
        Ok(built) => built.component,
        Err(error) => panic!("cannot build {name}: {error}"),
    };
    built.insert(name.to_string(), component.clone());
    component
}
