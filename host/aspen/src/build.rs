//! Builds a function: from a Rust crate, or from a core module of another compiler, to a WebAssembly
//! component.
//!
//! Promises that a crate needs no settings of its own: crate type, profile, target and linker
//! arguments are given here. Settings of a cargo that runs this program do not leak in. Finds a toolchain
//! by itself: the usual one if it has the target `wasm32-unknown-unknown`, else Debian's with the
//! standard library from source.
//! Leaves out the check of the component: `aspen-functions` checks an upload.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

use snafu::{OptionExt, ResultExt, Snafu, ensure};
use wit_component::ComponentEncoder;

const TARGET: &str = "wasm32-unknown-unknown";

/// Stack of a guest. Rust's own default, 1 MiB, doubles the cost of a call; a function that
/// recurses deeper meets the limit on call depth first.
pub const GUEST_STACK_BYTES: usize = 64 << 10;

/// Heap that a guest starts with: a usual call never has to grow its memory.
pub const GUEST_HEAP_BYTES: usize = 128 << 10;

/// The options of a build. The default fits a crate of its own and a member of a workspace alike.
#[derive(Clone, Debug, Default)]
pub struct BuildOptions {
    /// Cargo's target folder; `target/guests` of the workspace if not given.
    pub target_dir: Option<PathBuf>,
}

/// A component, ready to upload.
#[derive(Clone, Debug)]
pub struct BuiltComponent {
    /// The component.
    pub component: Vec<u8>,
    /// Its file: in the folder of the core module, as `NAME.component.wasm`.
    pub path: PathBuf,
    /// Size of the core module in bytes.
    pub core_bytes: usize,
}

/// Why a function could not be built.
#[derive(Debug, Snafu)]
pub enum BuildError {
    /// No toolchain can build for the target.
    #[snafu(display(
        "no toolchain for {TARGET}: run `rustup target add {TARGET}`, or on Debian \
         `apt-get install --no-install-recommends rustc-web rust-web-src cargo-web lld-22`"
    ))]
    NoToolchain,
    /// A program could not be started.
    #[snafu(display("cannot run {program}"))]
    Run { program: String, source: io::Error },
    /// Cargo ended with an error, which it printed.
    #[snafu(display("cargo could not build {}", dir.display()))]
    Cargo { dir: PathBuf },
    /// Cargo succeeded without making a library of this crate.
    #[snafu(display("{} has no library to build", dir.display()))]
    NoLibrary { dir: PathBuf },
    /// A file could not be read or written.
    #[snafu(display("cannot use {}", path.display()))]
    File { path: PathBuf, source: io::Error },
    /// The core module does not fit its world.
    #[snafu(display("{} cannot become a component: {source}", path.display()))]
    Component {
        /// The core module.
        path: PathBuf,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Builds the crate in `dir`. Cargo's messages go to this process's error output.
pub fn build(dir: &Path, options: &BuildOptions) -> Result<BuiltComponent, BuildError> {
    let dir = dir.canonicalize().context(FileSnafu { path: dir })?;
    let toolchain = Toolchain::find(&dir)?;
    let root = toolchain.workspace(&dir)?;
    let target_dir = options.target_dir.clone().unwrap_or_else(|| root.join("target/guests"));
    let core = toolchain.compile(&dir, &root, &target_dir)?;
    let module = fs::read(&core).context(FileSnafu { path: &core })?;
    let component = encode(&module).context(ComponentSnafu { path: &core })?;
    let path = core.with_extension("component.wasm");
    fs::write(&path, &component).context(FileSnafu { path: &path })?;
    Ok(BuiltComponent { component, path, core_bytes: module.len() })
}

/// Makes a component of the core module in a file. Its world must be in a section of it, where
/// bindings that `wit-bindgen` made put it, those for C too.
pub fn componentize(core: &Path) -> Result<Vec<u8>, BuildError> {
    let module = fs::read(core).context(FileSnafu { path: core })?;
    encode(&module).context(ComponentSnafu { path: core })
}

fn encode(module: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let mut encoder = ComponentEncoder::default();
    let component = encoder.validate(true).module(module).and_then(ComponentEncoder::encode);
    // With its causes: the outermost alone does not name the part that the module lacks.
    component.map_err(|error| format!("{error:#}").into())
}

/// A cargo that can build for the target.
#[derive(Debug, PartialEq, Eq)]
enum Toolchain {
    /// The one of the search path; it has the target's standard library.
    Usual,
    /// Debian's packages, which have the standard library as source, and a linker of LLVM.
    Debian { linker: PathBuf },
}

impl Toolchain {
    fn find(dir: &Path) -> Result<Self, BuildError> {
        let mut rustc = clean(Command::new("rustc"), dir);
        let libraries = rustc.args(["--print", "target-libdir", "--target", TARGET]);
        // A machine with Debian's packages alone may have no other rustc: not an error.
        if let Ok(Some(found)) = text_of(libraries)
            && Path::new(&found).is_dir()
        {
            return Ok(Self::Usual);
        }
        let mut rustc = clean(Command::new("/usr/bin/rustc"), dir);
        let sysroot = text_of(rustc.args(["--print", "sysroot"])).ok().flatten();
        let source = sysroot.map(|root| Path::new(&root).join("lib/rustlib/src/rust/library"));
        let has_source = source.is_some_and(|library| library.is_dir());
        let linker = linker().filter(|_| has_source && Path::new("/usr/bin/cargo").exists());
        linker.map(|linker| Self::Debian { linker }).context(NoToolchainSnafu)
    }

    fn cargo(&self, dir: &Path) -> Command {
        match self {
            Self::Usual => clean(Command::new("cargo"), dir),
            Self::Debian { linker } => {
                let mut cargo = clean(Command::new("/usr/bin/cargo"), dir);
                cargo.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
                cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
                cargo
            }
        }
    }

    /// Returns the folder of the workspace that the crate belongs to, or of the crate itself.
    fn workspace(&self, dir: &Path) -> Result<PathBuf, BuildError> {
        let mut cargo = self.cargo(dir);
        cargo.args(["locate-project", "--workspace", "--message-format", "plain"]);
        let manifest = text_of(&mut cargo)?.context(CargoSnafu { dir })?;
        let root = Path::new(&manifest).parent().map(Path::to_path_buf);
        root.context(CargoSnafu { dir })
    }

    /// Compiles to a core module and returns its path.
    fn compile(&self, dir: &Path, root: &Path, target: &Path) -> Result<PathBuf, BuildError> {
        let mut cargo = self.cargo(dir);
        cargo.args(["rustc", "--lib", "--crate-type", "cdylib", "--release", "--target", TARGET]);
        cargo.arg("--message-format=json-render-diagnostics").arg("--target-dir").arg(target);
        if matches!(self, Self::Debian { .. }) {
            cargo.args(["-Z", "build-std=std,panic_abort", "-Z", "build-std-features="]);
        }
        cargo.args(["--", "-C", &format!("link-arg=-zstack-size={GUEST_STACK_BYTES}")]);
        cargo.args(["-C", &format!("link-arg=--initial-heap={GUEST_HEAP_BYTES}")]);
        for (setting, value) in PROFILE {
            cargo.env(format!("CARGO_PROFILE_RELEASE_{setting}"), value);
        }
        cargo.env("CARGO_ENCODED_RUSTFLAGS", same_paths(root));
        cargo.stderr(Stdio::inherit());
        let output = cargo.output().context(RunSnafu { program: "cargo" })?;
        ensure!(output.status.success(), CargoSnafu { dir });
        let messages = String::from_utf8_lossy(&output.stdout);
        let mut modules = messages.lines().filter_map(|line| module_of(line, dir));
        modules.next_back().context(NoLibrarySnafu { dir })
    }
}

/// Settings for speed, for fuel follows speed. Size is no concern: the examples have 14 to 42 KiB. A
/// panic ends the call anyway, so nothing is unwound.
const PROFILE: [(&str, &str); 5] = [
    ("OPT_LEVEL", "3"),
    ("LTO", "fat"),
    ("CODEGEN_UNITS", "1"),
    ("PANIC", "abort"),
    ("STRIP", "symbols"),
];

/// Returns compiler flags that keep this machine's folders out of panic messages, so that the same source
/// gives the same component, and the same hash, in every folder.
fn same_paths(root: &Path) -> OsString {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    let remap = |from: &Path, to: &str| {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(from);
        flag.push(to);
        flag
    };
    let mut flags = remap(root, "=.");
    if let Some(home) = home {
        flags.push("\x1f");
        flags.push(remap(&home, "=cargo"));
    }
    flags
}

/// Returns the core module that a message of cargo announces, if the module is of the crate in `dir`.
fn module_of(message: &str, dir: &Path) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let manifest = message.get("manifest_path")?.as_str()?;
    if message.get("reason")? != "compiler-artifact" || Path::new(manifest).parent()? != dir {
        return None;
    }
    let mut files = message.get("filenames")?.as_array()?.iter().filter_map(|file| file.as_str());
    files.find(|file| file.ends_with(".wasm")).map(PathBuf::from)
}

/// Returns the command in `dir`, without the settings of an outer cargo, rustup or user for another
/// target.
fn clean(mut command: Command, dir: &Path) -> Command {
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let is_foreign = (name.starts_with("CARGO") && name != "CARGO_HOME")
            || name.starts_with("RUSTC")
            || name.starts_with("RUSTDOC")
            || ["RUSTFLAGS", "RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH"].contains(&&*name);
        if is_foreign {
            command.env_remove(name);
        }
    }
    command.current_dir(dir);
    command
}

/// Returns the output of a command, in one line; `None` if the command fails.
fn text_of(command: &mut Command) -> Result<Option<String>, BuildError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stderr(Stdio::null()).output().context(RunSnafu { program })?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_string();
    Ok(output.status.success().then_some(text))
}

/// Returns Debian's newest LLVM linker for WebAssembly.
fn linker() -> Option<PathBuf> {
    let version = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?;
        name.strip_prefix("wasm-ld-")?.parse::<u32>().ok()
    };
    let files = fs::read_dir("/usr/bin").ok()?.filter_map(Result::ok).map(|file| file.path());
    files.filter(|path| version(path).is_some()).max_by_key(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn module_is_found_in_the_messages_of_cargo() {
        let check = |message: &str, want: Option<&str>| {
            assert_eq!(module_of(message, Path::new("/w/bank")), want.map(PathBuf::from));
        };
        let artifact = |manifest: &str, file: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"{manifest}","filenames":["{file}"]}}"#
            )
        };
        check(&artifact("/w/bank/Cargo.toml", "/t/bank.wasm"), Some("/t/bank.wasm"));
        check(&artifact("/w/sdk/Cargo.toml", "/t/sdk.wasm"), None);
        check(&artifact("/w/bank/Cargo.toml", "/t/libbank.rlib"), None);
        check(r#"{"reason":"build-finished","success":true}"#, None);
        check("not json", None);
    }

    #[test]
    fn core_module_without_a_world_is_no_component() {
        assert!(encode(b"\0asm\x01\0\0\0garbage").is_err());
    }

    #[test]
    fn core_module_becomes_a_component_of_the_world_in_its_section() {
        let build = |export: &str| {
            let mut resolve = wit_parser::Resolve::default();
            let world = "package a:b; world w { export add: func(a: u64, b: u64) -> u64; }";
            let package = resolve.push_str("w.wit", world).unwrap();
            let world = resolve.select_world(&[package], None).unwrap();
            let add = "(param i64 i64) (result i64) (i64.add (local.get 0) (local.get 1))";
            let text = format!(r#"(module (func (export "{export}") {add}))"#);
            let mut module = wat::parse_str(text).unwrap();
            let utf8 = wit_component::StringEncoding::UTF8;
            wit_component::embed_component_metadata(&mut module, &resolve, world, utf8).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let core = folder.path().join("w.wasm");
            fs::write(&core, module).unwrap();
            componentize(&core)
        };
        let manifest = aspen_functions::check(&build("add").unwrap()).unwrap();
        assert_eq!(manifest.functions.len(), 1);
        let refused = build("subtract").unwrap_err().to_string();
        assert!(refused.contains("add"), "{refused}");
    }
}
