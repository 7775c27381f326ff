# Everything a person or the CI does with this repository. Needs rustup (or nix); the rest is
# installed by the targets that need it.

CARGO ?= cargo
# As many as CI has time for: about three minutes on two cores.
SEEDS ?= 600
# `make demo PROFILE=dev` builds next to nothing after `make test`.
PROFILE ?= release

.PHONY: demo test check bench sim guest-toolchain language-toolchains

## demo: the main job on real input: three nodes, a function, 69,659 purchases, a killed leader
demo: guest-toolchain
	$(CARGO) build --profile $(PROFILE) --workspace --bins
	target/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/aspen-demo

## test: every test
test: guest-toolchain language-toolchains
	@if $(CARGO) nextest --version >/dev/null 2>&1; \
	then $(CARGO) nextest run --workspace; else $(CARGO) test --workspace --all-targets; fi
	$(CARGO) test --workspace --doc
	$(CARGO) sim-test --workspace --test simulation -- --nocapture --test-threads 1

## check: formatting, lints, documentation
check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps
	@if [ -x "$$(command -v nix-instantiate)" ]; then nix-instantiate --parse flake.nix >/dev/null; fi

## bench: every figure that the README quotes (built as for production, which takes long)
bench: guest-toolchain
	$(CARGO) build --profile dist --workspace --bin aspen --bin aspen-bench
	target/dist/aspen-bench

## sim: whole clusters in simulated time, a seed each; SEEDS=2000 for more, SEED=7 to replay one
sim: guest-toolchain
	$(CARGO) sim $(if $(SEED),run $(SEED),sweep --seeds $(SEEDS))

# What builds functions in C, JavaScript and Python, from Debian, npm and PyPI. Where they cannot be reached,
# or there is no apt-get, npm or python3, this says so, and the tests leave those examples out.
language-toolchains:
	@examples/bank-c/build.sh --install || echo "no clang for wasm32: C is left out"
	@examples/bank-js/build.sh --install || echo "no componentize-js: JavaScript is left out"
	@examples/bank-py/build.sh --install || echo "no componentize-py: Python is left out"

# Functions are built for wasm32-unknown-unknown. Where rustup cannot add that target, Debian's
# packages can build it from source (see host/aspen/src/build.rs).
guest-toolchain:
	@rustup target list --installed 2>/dev/null | grep -q wasm32-unknown-unknown \
	|| dpkg -s rustc-web rust-web-src cargo-web lld-22 >/dev/null 2>&1 \
	|| rustup target add wasm32-unknown-unknown 2>/dev/null \
	|| { echo "installing Debian's toolchain for WebAssembly guests"; \
	     apt-get update -qq && apt-get install -y -qq --no-install-recommends \
	       rustc-web rust-web-src cargo-web lld-22; } \
	|| { echo "cannot install a toolchain for wasm32-unknown-unknown; run as root, or:"; \
	     echo "  rustup target add wasm32-unknown-unknown"; exit 1; }
