//! From a component's bytes to code that runs, once per component and process.
//!
//! Promises that only what passes the upload check is compiled, and that compiled code from disk is
//! used only if its checksum, and everything that its meaning depends on, is what this process would
//! have made: wasmtime, profile, engine settings, component. Anything else on disk is replaced.
//! Compiled code is never taken from another machine.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::{fs, io};

use aspen_core::{ComponentHash, Fault, FunctionSignature, Type};
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker};

use crate::check::{Checked, examine};
use crate::class::Class;
use crate::host::Host;
use crate::instrument;
use crate::profile::{PROFILE_VERSION, WASMTIME_VERSION};

const MAGIC: &[u8; 16] = b"aspen compiled 1";
const CHECKSUM_BYTES: usize = 32;

/// A component that can be called.
pub(crate) struct Prepared {
    /// Its class.
    pub class: Class,
    /// To make instances of.
    pub instance: InstancePre<Host>,
    /// Fuel that making one costs beside what its instructions cost.
    pub instance_fuel: u64,
    /// What it exports.
    pub functions: BTreeMap<String, Function>,
}

/// An exported function.
pub(crate) struct Function {
    /// Where the component has it.
    pub index: ComponentExportIndex,
    /// Its type.
    pub signature: FunctionSignature,
    /// It is `func(list<u8>) -> result<list<u8>, string>`, which has a faster way in.
    pub is_raw: bool,
}

/// Makes [`Prepared`] components of either class.
pub(crate) struct Compilers {
    pub small: Compiler,
    pub large: Compiler,
}

/// The same of one class.
pub(crate) struct Compiler {
    /// The class.
    pub class: Class,
    /// The engine, whose settings are the profile.
    pub engine: Engine,
    /// The host functions.
    pub linker: Linker<Host>,
    /// Where compiled code is kept between runs.
    pub dir: Option<PathBuf>,
}

impl Compilers {
    /// The one for components of this class.
    pub(crate) fn of(&self, class: Class) -> &Compiler {
        match class {
            Class::Small => &self.small,
            Class::Large => &self.large,
        }
    }

    /// Whether there is code of a component on disk. Should it be damaged, it is compiled again.
    pub(crate) fn has_code(&self, hash: &ComponentHash) -> bool {
        let has = |of: &Compiler| Some(file(&of.engine, of.dir.as_deref()?, hash).exists());
        [&self.small, &self.large].iter().any(|of| has(of) == Some(true))
    }
}

impl Compiler {
    /// Compiles a component; `None` if its bytes are none that can run, which every replica finds.
    pub(crate) fn prepare(
        &self,
        hash: &ComponentHash,
        bytes: &[u8],
    ) -> Result<Option<Prepared>, Fault> {
        // Each of these errors is decided by the bytes, so every replica refuses alike.
        let Checked { manifest, instance_fuel } = match examine(bytes) {
            Ok(checked) => checked,
            Err(error) => return Ok(unfit(hash, &error)),
        };
        let component = match self.load(hash) {
            Some(component) => component,
            None => match self.compile(hash, bytes)? {
                Some(component) => component,
                None => return Ok(None),
            },
        };
        let instance = match self.linker.instantiate_pre(&component) {
            Ok(instance) => instance,
            Err(error) => return Ok(unfit(hash, &error)),
        };
        let function = |signature: FunctionSignature| {
            let index = component.get_export_index(None, &signature.name)?;
            let name = signature.name.clone();
            Some((name, Function { index, is_raw: is_raw(&signature), signature }))
        };
        let functions = manifest.functions.into_iter().filter_map(function).collect();
        Ok(Some(Prepared { class: self.class, instance, instance_fuel, functions }))
    }

    fn compile(&self, hash: &ComponentHash, bytes: &[u8]) -> Result<Option<Component>, Fault> {
        let instrumented = match instrument::component(bytes) {
            Ok(instrumented) => instrumented,
            Err(error) => return Ok(unfit(hash, &error)),
        };
        let code = match self.engine.precompile_component(&instrumented) {
            Ok(code) => code,
            Err(error) => return Ok(unfit(hash, &error)),
        };
        if let Some(dir) = &self.dir {
            store(&self.engine, dir, hash, &code);
        }
        // SAFETY: this process has just compiled it.
        let component = unsafe { Component::deserialize(&self.engine, &code) };
        let fault = |error: wasmtime::Error| {
            Fault::new("loading compiled code", error.into_boxed_dyn_error())
        };
        component.map(Some).map_err(fault)
    }

    /// Code from disk, if there is good code.
    fn load(&self, hash: &ComponentHash) -> Option<Component> {
        let path = file(&self.engine, self.dir.as_deref()?, hash);
        let bytes = fs::read(&path).ok()?;
        let Some(code) = verify(&bytes) else {
            tracing::warn!(path = %path.display(), "compiled code is damaged, compiling again");
            return None;
        };
        // SAFETY: the folder is this node's own, the checksum holds, and the name says that this
        // engine made it.
        match unsafe { Component::deserialize(&self.engine, code) } {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "compiled code does not load");
                None
            }
        }
    }
}

/// The file of a component's code: its name depends on everything the code depends on.
fn file(engine: &Engine, dir: &Path, hash: &ComponentHash) -> PathBuf {
    let mut key = KeyHasher(Sha256::new());
    key.write(WASMTIME_VERSION.as_bytes());
    key.write(&PROFILE_VERSION.to_le_bytes());
    engine.precompile_compatibility_hash().hash(&mut key);
    key.write(hash.as_bytes());
    let key = ComponentHash::new(key.0.finalize().into());
    dir.join(format!("{key}.compiled"))
}

/// Keeps code on disk. Failing costs a compilation, nothing else.
pub(crate) fn store(engine: &Engine, dir: &Path, hash: &ComponentHash, code: &[u8]) {
    let path = file(engine, dir, hash);
    if let Err(error) = write(dir, &path, code) {
        tracing::warn!(path = %path.display(), %error, "compiled code cannot be kept");
    }
}

/// Written beside its place and renamed: a reader sees all of it or nothing.
fn write(dir: &Path, path: &Path, code: &[u8]) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let part = path.with_extension(format!("{}.part", std::process::id()));
    let checksum = Sha256::digest(code);
    fs::write(&part, [MAGIC, &checksum[..], code].concat())?;
    fs::rename(part, path)
}

/// The code in a file's bytes, if they are whole.
fn verify(bytes: &[u8]) -> Option<&[u8]> {
    let (checksum, code) = bytes.strip_prefix(MAGIC)?.split_at_checked(CHECKSUM_BYTES)?;
    (Sha256::digest(code)[..] == *checksum).then_some(code)
}

fn is_raw(signature: &FunctionSignature) -> bool {
    let [param] = &signature.params[..] else { return false };
    let Some(Type::Result(Some(ok), Some(err))) = &signature.result else { return false };
    param.ty.is_bytes() && ok.is_bytes() && **err == Type::String
}

fn unfit<T>(component: &ComponentHash, error: &dyn Display) -> Option<T> {
    tracing::warn!(%component, %error, "component cannot run");
    None
}

/// SHA-256 where the standard library wants a hasher.
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
