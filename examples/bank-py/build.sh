#!/bin/sh
# Makes the component: build.sh [OUTPUT | --install]. Installs componentize-py with pip the first time, in the version
# that requirements.txt pins, in this folder's .venv. Needs Python 3.10 or later.
#
# --stub-wasi: whatever of Python's library needs a clock, chance, files or a network traps when called.
set -eu

folder=$(cd "$(dirname "$0")" && pwd)
if [ ! -x "$folder/.venv/bin/componentize-py" ]; then
    python3 -m venv "$folder/.venv"
    "$folder/.venv/bin/pip" install --quiet --disable-pip-version-check \
        --requirement "$folder/requirements.txt" >&2
fi
[ "${1:-}" != --install ] || exit 0
output=$(realpath "${1:-$folder/bank.wasm}")
wit=$(mktemp -d)
trap 'rm -rf "$wit"' EXIT
mkdir -p "$wit/deps/aspen-function"
cp "$folder/wit/bank.wit" "$wit/"
cp "$folder/../../wit/aspen.wit" "$wit/deps/aspen-function/"
cd "$folder"
.venv/bin/componentize-py --wit-path "$wit" --world bank \
    componentize --stub-wasi bank --output "$output" >&2
