#!/bin/sh
# Makes the component: build.sh [OUTPUT | --install]. Installs componentize-js with npm the first time, in the version
# that package-lock.json pins, in this folder's node_modules. Needs Node.js 20 or later.
set -eu

folder=$(cd "$(dirname "$0")" && pwd)
if [ ! -d "$folder/node_modules/@bytecodealliance/componentize-js" ]; then
    npm ci --prefix "$folder" --no-audit --no-fund --loglevel error >&2
fi
[ "${1:-}" != --install ] || exit 0
node "$folder/build.js" "${1:-$folder/bank.wasm}"
