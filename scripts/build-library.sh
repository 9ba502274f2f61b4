#!/bin/sh
# Builds the shared library that LuaJIT loads, and leaves it without debug symbols in target/install/: for the rock,
# `make install` and the images. Nothing but the library is built, so none of the tools' dependencies either.

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
# Nothing stale is ever installed: without a new library there is none.
rm -f target/install/libroute_native.so
new=$(mktemp target/install/new.XXXXXX)
trap 'rm -f "$new" "$new.json"' EXIT
# Cargo says where it wrote: its configuration may name another directory or target.
cargo build --release --lib --locked --message-format json-render-diagnostics > "$new.json"
built=$(sed -n 's/.*"\([^"]*libroute_native\.so\)".*/\1/p' "$new.json")
[ -n "$built" ] \
    || fail "cargo built no shared library; on musl, RUSTFLAGS must hold \"-C target-feature=-crt-static\", and is \"${RUSTFLAGS:-}\""
# Written beside and renamed: a running nginx may have the old one mapped, and two builds may end together.
cat "$built" > "$new"
strip --strip-unneeded "$new"
chmod 755 "$new"
mv "$new" target/install/libroute_native.so
