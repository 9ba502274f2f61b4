#!/bin/sh
# Builds the shared library that LuaJIT loads, and writes it without debug symbols to target/install/, for the rock,
# `make install` and the images. It builds only the library, without the tools' dependencies.

set -eu
unset CDPATH
cd "$(dirname "$0")/.."

fail() {
    echo "route_native: $1" >&2
    exit 1
}

command -v cargo > /dev/null \
    || fail "cargo is missing, and it builds the library; install Rust 1.88 or newer (rustup does it), and try again"
command -v cc > /dev/null || fail "a C compiler (cc) is missing, and the cryptography needs it; install gcc, and try again"

mkdir -p target/install
# Remove an older library first: if the build fails, a stale one must not be installed.
rm -f target/install/libroute_native.so
new=$(mktemp target/install/new.XXXXXX)
trap 'rm -f "$new" "$new.json"' EXIT
# Read the path from cargo's output: its configuration may name another directory or target.
cargo build --release --lib --locked --message-format json-render-diagnostics > "$new.json"
built=$(sed -n 's/.*"\([^"]*libroute_native\.so\)".*/\1/p' "$new.json")
[ -n "$built" ] \
    || fail "cargo built no shared library; on musl, RUSTFLAGS must hold \"-C target-feature=-crt-static\", and is \"${RUSTFLAGS:-}\""
# Write a new file and rename it: a running nginx may have mapped the old one, and two builds may end at once.
cat "$built" > "$new"
strip --strip-unneeded "$new"
chmod 755 "$new"
mv "$new" target/install/libroute_native.so
