#!/bin/sh
# Makes the component: build.sh [OUTPUT | --install]. Needs clang 14 or later with its target wasm32, which this
# folder's .clang is a link to, and its linker wasm-ld. --install installs both with apt where they are missing.
# `aspen` is on the search path, or its path is in ASPEN.
#
# The stack and the memory are those of a guest in Rust (host/aspen/src/build.rs).
set -eu

folder=$(cd "$(dirname "$0")" && pwd)
clang=$folder/.clang

find_clang() {
    found=$(command -v clang) && command -v wasm-ld >/dev/null || return 1
    "$found" --print-targets | grep -q wasm32 || return 1
    ln -sf "$found" "$clang"
}

install_clang() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    apt-get update -qq && apt-get install -y -qq --no-install-recommends clang lld
}

if [ ! -x "$clang" ] && ! find_clang; then
    if [ "${1:-}" != --install ] || ! install_clang >&2 || ! find_clang; then
        echo "no clang with the target wasm32, or no wasm-ld; on Debian:" >&2
        echo "  apt-get install --no-install-recommends clang lld" >&2
        exit 1
    fi
fi
[ "${1:-}" != --install ] || exit 0

core=$(mktemp)
trap 'rm -f "$core"' EXIT
"$clang" --target=wasm32 -nostdlib -ffreestanding -std=c17 -Wall -Wextra \
    -O3 -mbulk-memory -I "$folder/include" -I "$folder/bindings" \
    -Wl,--no-entry,--strip-all,--stack-first,-z,stack-size=65536,--initial-memory=262144 \
    "$folder/bank.c" "$folder/freestanding.c" "$folder/bindings/bank.c" "$folder/bindings/bank_component_type.o" \
    -o "$core"
"${ASPEN:-aspen}" build "$core" --output "${1:-$folder/bank.wasm}" >&2
