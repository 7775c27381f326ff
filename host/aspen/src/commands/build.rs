//! `aspen new` and `aspen build`: a function crate, and a component of it.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::build::{BuildOptions, build, componentize};
use crate::failure::Failure;
use crate::scaffold;

/// `aspen new`
#[derive(Debug, Args)]
pub struct New {
    /// Name of the folder and of the crate (a-z, 0-9, '-').
    pub name: String,
}

/// `aspen build`
#[derive(Debug, Args)]
pub struct Build {
    /// The crate's folder; or a core module (bank.core.wasm) with its world in a section.
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// The component's file [default: NAME.wasm in the crate's folder, or NAME.component.wasm
    /// beside the module]
    #[arg(short, long)]
    pub output: Option<PathBuf>,
}

/// Makes a function crate.
pub fn new(options: &New) -> Result<(), Failure> {
    scaffold::create(&options.name)
}

/// Builds a crate or a core module, and writes the component.
pub fn run(options: &Build) -> Result<(), Failure> {
    let Build { dir, output } = options;
    let message = |error: &dyn std::fmt::Display| Failure::Refused { message: error.to_string() };
    let (component, usual) = if dir.is_file() {
        let component = componentize(dir).map_err(|e| message(&e))?;
        (component, dir.with_extension("component.wasm"))
    } else {
        let built = build(dir, &BuildOptions::default()).map_err(|e| message(&e))?;
        (built.component, dir.join(file_name(&built.path)))
    };
    let output = output.as_ref().unwrap_or(&usual);
    std::fs::write(output, &component)
        .map_err(|error| message(&format!("cannot write {}: {error}", output.display())))?;
    println!("{} ({} bytes)", output.display(), component.len());
    Ok(())
}

/// Returns `NAME.component.wasm` of the target folder as `NAME.wasm`.
fn file_name(built: &Path) -> String {
    let name = built.file_name().map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_default().replace(".component.", ".")
}
