#!/usr/bin/env bash
# `make package`: builds a binary rock and a tarball for this machine's architecture, and the release's rockspec.
#
#   DIST (dist): the directory for the results
#   SOURCE_URL: the source in the published rockspec (default: the checkout's own remote)

set -euo pipefail
cd "$(dirname "$0")/.."
# The packed modes must not depend on the user's umask.
umask 022

fail() {
    echo "route_native: $1" >&2
    exit 1
}

command -v luarocks > /dev/null || fail "luarocks is missing, and it packs the rock; install it, and try again"
tar --version 2> /dev/null | grep -q 'GNU tar' || fail "GNU tar is missing, and it packs the tarball; install it, and try again"
version=$(scripts/version.sh)
libc=$(ldd --version 2>&1 | grep -qi musl && echo -musl || true)
platform=linux-$(uname -m)$libc
source_url=${SOURCE_URL:-$(git remote get-url origin 2> /dev/null || echo "file://$PWD")}

mkdir -p "${DIST:=dist}"
DIST=$(cd "$DIST" && pwd)
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

rockspec=$DIST/route_native-$version-1.rockspec
sed -e "s|^version = .*|version = \"$version-1\"|" \
    -e "s|^source = .*|source = { url = \"git+${source_url#git+}\", tag = \"v$version\" }|" \
    route_native-dev-1.rockspec > "$rockspec"

# rocks ARGUMENT…: runs LuaRocks on the staged tree, and prints its output only if it fails.
rocks() {
    luarocks --lua-version 5.1 --tree "$stage/rock" "$@" > "$stage/log" 2>&1 || {
        cat "$stage/log" >&2
        fail "luarocks cannot $1 the rock"
    }
}

scripts/build-library.sh
rocks make "$rockspec"
(cd "$DIST" && rocks pack route_native)

name=route_native-$version-$platform
DESTDIR=$stage/$name PREFIX=/usr/local scripts/install.sh
# Order, owner, mode and time of the entries are fixed, so that the same files give the same bytes. Shared directories,
# such as /usr, have no entry: if root unpacks an entry, it changes the mode of the existing directory.
ours=(-type f -o -type d '(' -name route_native -o -path '*/route_native/*' ')')
(cd "$stage/$name" && find . '(' "${ours[@]}" ')' -printf '%P\0') | LC_ALL=C sort -z \
    | tar -C "$stage/$name" --null --no-recursion --files-from=- --owner=0 --group=0 --numeric-owner \
        --mode=u=rwX,go=rX --mtime=@0 -czf "$DIST/$name.tar.gz"

ls -1 "$DIST"/*"$version"*
