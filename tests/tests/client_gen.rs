//! The output of `aspen client-gen`: the modules of `aspen_tests::typed`, and clear errors.

#![cfg(not(madsim))]

use std::path::{Path, PathBuf};

use aspen::client_gen::{Options, from_manifest, from_path};
use aspen_core::function::{Field, FunctionSignature, Manifest, Type};
use aspen_core::ids::ComponentHash;
use aspen_tests::guests::component;

fn wit(example: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(example).join("wit")
}

fn named(name: &str) -> Options {
    Options { name: Some(name.into()), world: None }
}

/// The code without comments, and without what only a component has.
fn code(module: &str) -> Vec<&str> {
    let lines = module.lines().map(str::trim_start);
    let lines = lines.filter(|line| !line.starts_with("//") && !line.is_empty());
    lines.filter(|line| !line.contains("COMPONENT") && !line.starts_with("\"sha256:")).collect()
}

#[test]
fn client_gen_writes_what_is_checked_in() {
    let check = |example: &str, checked_in: &str| {
        let written = from_path(&wit(example), &Options::default()).unwrap();
        assert!(
            written == checked_in,
            "run: aspen client-gen examples/{example}/wit --out tests/src/typed/{example}.rs"
        );
    };
    check("bank", include_str!("../src/typed/bank.rs"));
    check("echo", include_str!("../src/typed/echo.rs"));
    let uploaded = from_manifest(&manifest(), "shop").unwrap();
    let checked_in = include_str!("../src/typed/uploaded.rs");
    assert!(uploaded == checked_in, "tests/src/typed/uploaded.rs should be:\n{uploaded}");
}

#[test]
fn client_gen_makes_the_same_of_wit_and_of_the_component() {
    for example in ["bank", "echo"] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(format!("{example}.wasm"));
        let bytes = component(example);
        std::fs::write(&file, &bytes).unwrap();
        let of_component = from_path(&file, &Options::default()).unwrap();
        let of_wit = from_path(&wit(example), &Options::default()).unwrap();
        assert_eq!(code(&of_component), code(&of_wit));
        let hash = format!("sha256:{}", ComponentHash::of(&bytes));
        assert_eq!(of_component.matches(&hash).count(), 2, "in the header and as a constant");
        let folder = dir.path().display().to_string();
        assert!(!of_component.contains(&folder), "no path of this machine");
        // The description that the cluster would give, against which the client checks.
        let manifest = aspen_functions::check(&bytes).unwrap();
        for function in manifest.functions {
            assert!(of_wit.contains(&format!("\"{function}\",")), "{function}");
        }
    }
}

/// A component as a cluster describes it.
fn manifest() -> Manifest {
    let field = |name: &str, ty| Field { name: name.into(), ty };
    let item = Type::Record(vec![field("name", Type::String), field("weight", Type::F32)]);
    let payment = Type::Variant(vec![
        ("cash".into(), None),
        ("card".into(), Some(Type::Record(vec![field("number", Type::String)]))),
    ]);
    let order = FunctionSignature {
        name: "place-order".into(),
        params: vec![
            field("items", Type::List(Box::new(item.clone()))),
            field("payment", payment.clone()),
            field("flags", Type::Flags(vec!["express".into(), "gift".into()])),
        ],
        result: Some(Type::Result(
            Some(Box::new(Type::U64)),
            Some(Box::new(Type::Enum(vec!["sold-out".into(), "closed".into()]))),
        )),
    };
    let first = FunctionSignature {
        name: "first".into(),
        params: vec![],
        result: Some(Type::Option(Box::new(Type::Tuple(vec![item, payment])))),
    };
    // Names that Rust has for something else.
    let own = Type::Variant(vec![("self".into(), None), ("string".into(), Some(Type::String))]);
    let taken = FunctionSignature { name: "result".into(), params: vec![], result: Some(own) };
    let component = ComponentHash::of(b"a component");
    Manifest { component, bytes: 11, functions: vec![order, first, taken] }
}

#[test]
fn client_gen_takes_the_name_that_calls_use() {
    let module = from_path(&wit("bank"), &named("team/bank-v2")).unwrap();
    for text in ["pub struct TeamBankV2 {", "Self::named(client, \"team/bank-v2\")"] {
        assert!(module.contains(text), "{text}");
    }
}

#[test]
fn client_gen_has_the_types_of_an_interface_that_the_world_uses() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.wit");
    let text = "package a:b;
        interface shapes { record point { x: u32, y: u32 } type line = list<point>; }
        world w { use shapes.{point, line as way}; export run: func(at: point, along: way) -> point; }";
    std::fs::write(&path, text).unwrap();
    let module = from_path(&path, &Options::default()).unwrap();
    let once = |text: &str| assert_eq!(module.matches(text).count(), 1, "{text}: {module}");
    once("pub struct Point {");
    once("pub type Way = ");
    once("pub fn run(&self, ");
}

#[test]
fn client_gen_says_what_is_wrong() {
    let check = |file: &str, text: &str, options: Options, message: &str| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(file);
        std::fs::write(&path, text).unwrap();
        let error = from_path(&path, &options).unwrap_err().to_string();
        assert!(error.contains(message), "{error:?} does not say {message:?}");
    };
    let world = |body: &str, message: &str| {
        let text = format!("package a:b; interface i {{ f: func(); }} world w {{ {body} }}");
        check("w.wit", &text, Options::default(), message);
    };
    world("export f: func() -> nothing-known;", "w.wit:1:");
    world("import i;", "world w exports no function");
    world("export i;", "exports interface a:b/i: export functions from the world itself");
    world("export f: async func();", "function \"f\" cannot be called: it is asynchronous");
    world(
        "resource r; export f: func(r: borrow<r>);",
        "\"f\" cannot be called: it uses a resource",
    );
    world("export f: func() -> stream<u8>;", "it uses a future or a stream");
    let long = ["u8"; 13].join(", ");
    world(&format!("export f: func(t: tuple<{long}>);"), "a tuple of more than 12 parts");
    world(
        "record w { x: u8 } export f: func(w: w);",
        "the client of w and type w would both be W in Rust: give the client another name",
    );
    let two = "package a:b; world x { export f: func(); } world y { export f: func(); }";
    check("two.wit", two, Options::default(), "name one with --world");
    let world = Options { world: Some("z".into()), name: None };
    check("two.wit", two, world.clone(), "World `z` not found in package `a:b`");
    check("two.wit", two, Options { world: Some("y".into()), ..named("no name") }, "\"no name\"");
    check("two.wit", "package a:b;", Options::default(), "contains no worlds");
    check("a.wasm", "text", Options::default(), "this is no WebAssembly component");
    check("a.wasm", "\0asm\x01\0\0\0", Options::default(), "a core WebAssembly module");
    let missing = from_path(Path::new("nowhere.wasm"), &world).unwrap_err().to_string();
    assert!(missing.starts_with("cannot read nowhere.wasm: "), "{missing}");
    let missing = from_path(Path::new("nowhere.wit"), &world).unwrap_err().to_string();
    assert!(missing.starts_with("cannot read nowhere.wit: "), "{missing}");
}
