//! `aspen new`: a function crate to start from.
//!
//! Promises a crate that builds and passes its test as it is. The SDK goes into the crate's folder
//! `aspen/`: a new crate needs this binary alone, and builds with the SDK of the program that will run it.

use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// The files of the SDK, by their path inside `aspen/`.
const SDK: &[(&str, &str)] = &[
    ("wit/aspen.wit", include_str!("../../../wit/aspen.wit")),
    ("guest-sdk/src/lib.rs", include_str!("../../../guest-sdk/src/lib.rs")),
    ("guest-sdk/src/alloc.rs", include_str!("../../../guest-sdk/src/alloc.rs")),
    ("guest-sdk/src/context.rs", include_str!("../../../guest-sdk/src/context.rs")),
    ("guest-sdk/src/imports.rs", include_str!("../../../guest-sdk/src/imports.rs")),
    ("guest-sdk/src/keys.rs", include_str!("../../../guest-sdk/src/keys.rs")),
    ("guest-sdk/src/prefix.rs", include_str!("../../../guest-sdk/src/prefix.rs")),
    ("guest-sdk/src/range.rs", include_str!("../../../guest-sdk/src/range.rs")),
    ("guest-sdk/src/record.rs", include_str!("../../../guest-sdk/src/record.rs")),
    ("guest-sdk/src/store.rs", include_str!("../../../guest-sdk/src/store.rs")),
    ("guest-sdk/src/testing.rs", include_str!("../../../guest-sdk/src/testing.rs")),
    ("guest-sdk/src/testing/faults.rs", include_str!("../../../guest-sdk/src/testing/faults.rs")),
    (
        "guest-sdk/src/testing/faults/client.rs",
        include_str!("../../../guest-sdk/src/testing/faults/client.rs"),
    ),
    (
        "guest-sdk/src/testing/faults/random.rs",
        include_str!("../../../guest-sdk/src/testing/faults/random.rs"),
    ),
    (
        "guest-sdk/src/testing/faults/sim.rs",
        include_str!("../../../guest-sdk/src/testing/faults/sim.rs"),
    ),
    (
        "guest-sdk/src/testing/faults/world.rs",
        include_str!("../../../guest-sdk/src/testing/faults/world.rs"),
    ),
    ("guest-sdk/src/testing/harness.rs", include_str!("../../../guest-sdk/src/testing/harness.rs")),
    ("guest-sdk/src/testing/host.rs", include_str!("../../../guest-sdk/src/testing/host.rs")),
    ("guest-sdk/src/testing/limits.rs", include_str!("../../../guest-sdk/src/testing/limits.rs")),
    ("guest-sdk/src/testing/world.rs", include_str!("../../../guest-sdk/src/testing/world.rs")),
    ("guest-sdk/src/value.rs", include_str!("../../../guest-sdk/src/value.rs")),
    ("guest-sdk/Cargo.toml", SDK_MANIFEST),
];

const SDK_MANIFEST: &str = r#"[package]
name = "aspen-guest"
version = "0.1.0"
edition = "2024"
license = "MIT OR Apache-2.0"
publish = false

[dependencies]
wit-bindgen = "0.61"
serde = { version = "1", features = ["derive"] }
postcard = { version = "1", default-features = false, features = ["use-std"] }
serde_json = "1"
"#;

const MANIFEST: &str = r#"[package]
name = "NAME"
version = "0.1.0"
edition = "2024"
publish = false

[lib]
crate-type = ["cdylib", "rlib"]

[dependencies]
aspen-guest = { path = "aspen/guest-sdk" }

[workspace]
exclude = ["aspen"]
"#;

const WIT: &str = r#"/// A counter: start from here.
package example:NAME;

world NAME {
    /// Adds to the counter of this name and gives its new value.
    export add: func(name: string, amount: u64) -> result<u64, string>;
}
"#;

const CODE: &str = r#"//! A counter per name. Build with `aspen build`, upload the result, call `add`.

use aspen_guest::store;

aspen_guest::function!({ world: "NAME", path: "wit" });

struct Component;

impl Guest for Component {
    fn add(name: String, amount: u64) -> Result<u64, String> {
        let sum = store::get_u64(&name).unwrap_or(0).checked_add(amount).ok_or("overflow")?;
        store::put_u64(&name, sum);
        Ok(sum)
    }
}

aspen_guest::export!(Component);

#[cfg(test)]
mod tests {
    use aspen_guest::testing::Harness;

    use super::*;

    #[test]
    fn counter_adds_up() {
        let mut shard = Harness::new();
        assert_eq!(shard.call(|| Component::add("hits".into(), 2)), Ok(2));
        assert_eq!(shard.call(|| Component::add("hits".into(), 3)), Ok(5));
    }

    #[test]
    fn overflow_changes_nothing() {
        let mut shard = Harness::new();
        assert_eq!(shard.call(|| Component::add("hits".into(), 2)), Ok(2));
        assert!(shard.call(|| Component::add("hits".into(), u64::MAX)).is_err());
        assert_eq!(shard.call(|| Component::add("hits".into(), 0)), Ok(2));
    }
}
"#;

/// Makes the crate `name` in a folder of that name.
pub fn create(name: &str) -> Result<(), Failure> {
    let letters = name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-');
    let words = name.split('-').all(|word| word.starts_with(|c: char| c.is_ascii_lowercase()));
    if !letters || !words || name.len() > aspen_core::limits::NAME_BYTES_MAX {
        let message = format!(
            "{name:?} cannot be a crate's name: words of a-z and 0-9, joined by '-', each starting \
             with a letter"
        );
        return Err(Failure::Usage { message });
    }
    let root = PathBuf::from(name);
    if root.exists() {
        return Err(Failure::Refused { message: format!("{name} exists already") });
    }
    let own = [
        ("Cargo.toml", MANIFEST),
        ("src/lib.rs", CODE),
        (&*format!("wit/{name}.wit"), WIT),
        (".gitignore", "target\n*.wasm\n"),
    ];
    for (path, text) in own {
        write(&root.join(path), &text.replace("NAME", name))?;
    }
    for (path, text) in SDK {
        write(&root.join("aspen").join(path), text)?;
    }
    println!(
        "{name}/ is a function crate. Next:\n  cd {name} && cargo test\n  aspen build {name}\n  \
         aspen upload {name}/{}.wasm --name {name}",
        name.replace('-', "_")
    );
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    folder.and_then(|()| std::fs::write(path, text)).map_err(|error| Failure::Refused {
        message: format!("cannot write {}: {error}", path.display()),
    })
}
