# What the run.sh of every example does: build, upload, call, compare. Read by them, not run.
#
# Needs a running cluster: `aspen dev --nodes 3` in this folder, or ASPEN_CONNECT, and `aspen` on the
# search path, or its path in ASPEN. Each run uses a tag of its own, so it can be run again.
# Ends with an error at the first result that is not the expected one.
set -eu

ASPEN=${ASPEN:-aspen}
folder=$(cd "$(dirname "$0")" && pwd)
name=$(basename "$folder")
tag="run-$(date +%s)-$$"

component=$(mktemp)
trap 'rm -f "$component"' EXIT
if [ -x "$folder/build.sh" ]; then
    "$folder/build.sh" "$component"
else
    "$ASPEN" build "$folder" -o "$component"
fi
"$ASPEN" upload "$component" --name "$name"

# expect RESULT FUNCTION ARGUMENT...: the call succeeds with this result, in which a time is TIME.
expect() {
    compare 0 "$@"
}

# refuse ERROR FUNCTION ARGUMENT...: the function returns this error.
refuse() {
    error=$1
    shift
    compare 1 "aspen: the function returned an error: $error" "$@"
}

# compare CODE TEXT FUNCTION ARGUMENT...: calls on the shard of this run's tag.
compare() {
    wanted="exit code $1: $2"
    shift 2
    printf '%s\n' "$name $*"
    code=0
    text=$("$ASPEN" call "$name" "$@" --key "{$tag}" 2>&1) || code=$?
    printf '    %s\n' "$text"
    result="exit code $code: $(printf '%s' "$text" | sed -E 's/\b1[0-9]{12}\b/TIME/g')"
    if [ "$result" != "$wanted" ]; then
        printf '%s is not as expected:\n  got    %s\n  wanted %s\n' "$name" "$result" "$wanted" >&2
        exit 1
    fi
}
