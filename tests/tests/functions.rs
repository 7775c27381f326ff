#[test]
fn functions_build() { for n in ["bank","purchases"] { let c = aspen_tests::guests::component(n); println!("{n} {}", c.len()); } }
