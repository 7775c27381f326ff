//! The example functions as components, built once per test process.
//!
//! Keeps the promises of `aspen build`, because it is the same code. Cargo's own lock makes it safe
//! to use from several test processes at once; the target folder is `target/guests`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use aspen::build::{BuildOptions, build};
use bytes::Bytes;

static BUILT: Mutex<BTreeMap<String, Vec<u8>>> = Mutex::new(BTreeMap::new());

/// The component of `examples/NAME`.
///
/// # Panics
/// If it cannot be built: the message names the programs to install.
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

/// The same component, larger by a custom section of `size` zeros and eight bytes at its end.
pub fn padded(component: &[u8], size: usize) -> Bytes {
    let mut bytes = component.to_vec();
    // Section 0: its size in five bytes (LEB128), then the length of its name, the name, and the content.
    let content = (size + 2) as u32;
    let seven = |shift: u32| (content >> shift) as u8 & 0x7f;
    bytes.extend([0, seven(0) | 0x80, seven(7) | 0x80, seven(14) | 0x80, seven(21) | 0x80]);
    bytes.extend([seven(28), 1, b'p']);
    bytes.resize(bytes.len() + size, 0);
    bytes.into()
}
