#!/usr/bin/env bash
# `make docs`: writes docs/reference/{README.md,lua,luacats} from the LDoc comments of the public Lua modules.
#
#   CHECK (empty): 1 writes nothing, and fails if the committed reference is stale

set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    echo "route_native: $1" >&2
    exit 1
}

command -v ldoc > /dev/null || fail "ldoc is missing, and it reads the comments; install lua-ldoc, and try again"

new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT
mkdir -p "$new"/reference/{lua,luacats/library/{route_native,resty}}
# LDoc reports its warnings, such as an undocumented parameter, only on stderr, not by its exit code.
REFERENCE_DIR=$new/reference LUA_PATH="$PWD/scripts/docs/?.lua;;" \
    ldoc -c scripts/docs/config.ld --filter reference.write . > "$new/log" 2> "$new/errors" || cat "$new/log" >> "$new/errors"
if [ -s "$new/errors" ]; then
    cat "$new/errors" >&2
    fail "the comments of the public Lua modules cannot be read, see above"
fi

# The other files of docs/reference are written by hand.
for part in README.md lua luacats; do
    if [ -n "${CHECK:-}" ]; then
        diff -qr "$new/reference/$part" "docs/reference/$part" > "$new/stale" 2>&1 \
            || fail "docs/reference is stale; run: make docs"
    else
        rm -rf "docs/reference/$part"
        cp -r "$new/reference/$part" "docs/reference/$part"
    fi
done
