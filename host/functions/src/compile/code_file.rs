//! Compiled code on disk, one file for each component.
//!
//! Promises that code is used only if its checksum holds and its name fits: the name depends on
//! wasmtime, the profile, the engine's settings and the component. Any other file is replaced.
//! Compiled code is never taken from another machine.

use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::{fs, io};

use aspen_core::ids::ComponentHash;
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::profile::{PROFILE_VERSION, WASMTIME_VERSION};

const MAGIC: &[u8; 16] = b"aspen compiled 1";
const CHECKSUM_BYTES: usize = 32;

/// Returns the component whose code is on disk, if the code is good.
pub(super) fn load(engine: &Engine, dir: &Path, hash: &ComponentHash) -> Option<Component> {
    let path = path(engine, dir, hash);
    let bytes = fs::read(&path).ok()?;
    let Some(code) = verify(&bytes) else {
        tracing::warn!(path = %path.display(), "compiled code is damaged, compiling again");
        return None;
    };
    // SAFETY: the folder is this node's own, the checksum holds, and the name says that this engine
    // made the code.
    match unsafe { Component::deserialize(engine, code) } {
        Ok(component) => Some(component),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "compiled code does not load");
            None
        }
    }
}

/// Returns the path of a component's code. Its name depends on everything that the code depends on.
pub(super) fn path(engine: &Engine, dir: &Path, hash: &ComponentHash) -> PathBuf {
    let mut key = KeyHasher(Sha256::new());
    key.write(WASMTIME_VERSION.as_bytes());
    key.write(&PROFILE_VERSION.to_le_bytes());
    engine.precompile_compatibility_hash().hash(&mut key);
    key.write(hash.as_bytes());
    let key = ComponentHash::new(key.0.finalize().into());
    dir.join(format!("{key}.compiled"))
}

/// Keeps code on disk. A failure costs a compilation, nothing else.
pub(crate) fn store(engine: &Engine, dir: &Path, hash: &ComponentHash, code: &[u8]) {
    let path = path(engine, dir, hash);
    if let Err(error) = write(dir, &path, code) {
        tracing::warn!(path = %path.display(), %error, "compiled code cannot be kept");
    }
}

/// Writes a file with another name and renames it: a reader sees all of it or nothing.
fn write(dir: &Path, path: &Path, code: &[u8]) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let part = path.with_extension(format!("{}.part", std::process::id()));
    let checksum = Sha256::digest(code);
    fs::write(&part, [MAGIC, &checksum[..], code].concat())?;
    fs::rename(part, path)
}

/// Returns the code in a file's bytes, if the bytes are whole.
fn verify(bytes: &[u8]) -> Option<&[u8]> {
    let (checksum, code) = bytes.strip_prefix(MAGIC)?.split_at_checked(CHECKSUM_BYTES)?;
    (Sha256::digest(code)[..] == *checksum).then_some(code)
}

/// SHA-256 in the form of a hasher of the standard library.
struct KeyHasher(Sha256);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let hash = self.0.clone().finalize();
        u64::from_le_bytes(hash[..8].try_into().expect("a hash has 32 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_code_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write(dir.path(), &path, b"code").unwrap();
        let good = fs::read(&path).unwrap();
        assert_eq!(verify(&good), Some(&b"code"[..]));
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(verify(&bad), None, "byte {at}");
            assert_eq!(verify(&good[..at]), None, "cut at {at}");
        }
    }
}
