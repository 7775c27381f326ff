# Everything a person or the CI does with this repository. Needs rustup (or nix); the rest is
# installed by the targets that need it.

CARGO ?= cargo
# As many as CI has time for: about three minutes on two cores.
SEEDS ?= 600
# `make demo PROFILE=dev` builds next to nothing after `make test`.
PROFILE ?= release

# cargo-nextest runs tests of several programs at a time; without it cargo runs one program after another.
TESTS = $(if $(shell $(CARGO) nextest --version 2>/dev/null),nextest run --workspace,test --workspace --all-targets)

# $(call timed,NAME,COMMAND) runs the command. Its seconds become a line of the file that STEPS names, if any.
timed = echo "=== $(1)"; start=$$(date +%s); { $(2); } && echo "$$(($$(date +%s) - start)) $(1)" >> "$${STEPS:-/dev/null}"

.PHONY: demo test test-all check bench sim guest-toolchain language-toolchains

## demo: the main job on real input: three nodes, a function, 69,659 purchases, a killed leader
demo: guest-toolchain
	@$(call timed,demo: build,$(CARGO) build --profile $(PROFILE) --workspace --bin aspen --bin aspen-demo)
	@$(call timed,demo: run,target/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/aspen-demo)

## test: every test; of the simulator's seeds and defects a third, with every commit another (`test-all`: all)
# The simulator is compiled while tests wait for elections and timeouts; it takes only what they leave.
test: guest-toolchain language-toolchains
	@$(call timed,tests: build,$(CARGO) $(TESTS) --no-run)
	@mkdir -p target; \
	( $(call timed,simulator: build (while the tests run),nice -n 19 $(CARGO) sim-test --no-run) ) > target/sim-build.log 2>&1 & build=$$!; \
	$(call timed,tests: run,$(CARGO) $(TESTS)); tests=$$?; \
	$(call timed,simulator: rest of its build,wait $$build) || { cat target/sim-build.log; exit 1; }; \
	exit $$tests
	@$(call timed,examples in comments,$(CARGO) test --workspace --doc)
	@$(call timed,simulator: run,$(CARGO) sim-test -- --nocapture --test-threads 1)

## test-all: every test with every seed and defect
test-all: export ASPEN_SHARE = 1/1
test-all: test

## check: formatting, lints, documentation
check:
	@$(call timed,check: format,$(CARGO) fmt --all --check)
	@$(call timed,check: lints,$(CARGO) clippy --workspace --all-targets -- -D warnings)
	@$(call timed,check: documentation,RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps)
	@if [ -x "$$(command -v nix-instantiate)" ]; then nix-instantiate --parse flake.nix >/dev/null; fi

## bench: every figure of docs/performance.md (built as for production, which takes long)
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
