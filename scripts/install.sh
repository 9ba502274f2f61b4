#!/bin/sh
# `make install`: puts the library and the Lua modules where LuaJIT looks, and the gateway's configuration beside them.
#
#   PREFIX (/usr/local)  DESTDIR (empty): a root to install into, for packages and images
#   ROCK (empty): set by the rockspec
#   LUADIR (PREFIX/share/lua/5.1)  LIBDIR (PREFIX/lib/lua/5.1): OpenResty's are both /usr/local/openresty/site/lualib

set -eu
unset CDPATH
cd "$(dirname "$0")/.."
# LuaRocks copies the files of a rock after this script, with the modes of its own umask.
if [ -n "${ROCK:-}" ] && [ "$(id -u)" = 0 ]; then
    case $(umask) in
        *[02]) ;;
        *)
            echo "route_native: with the umask $(umask), LuaRocks installs files that nginx's workers cannot read;" \
                "run: umask 022, and try again" >&2
            exit 1
            ;;
    esac
fi
# The workers run as another user and must be able to read the files, also if root's umask is private.
umask 022

PREFIX=${PREFIX:-/usr/local}
LUADIR=${LUADIR:-$PREFIX/share/lua/5.1}
LIBDIR=${LIBDIR:-$PREFIX/lib/lua/5.1}
SHAREDIR=$PREFIX/share/route_native
DESTDIR=${DESTDIR:-}

for directory in "$PREFIX" "$LUADIR" "$LIBDIR" "${DESTDIR:-/}"; do
    case $directory in
        /*) ;;
        *) echo "route_native: PREFIX, DESTDIR, LUADIR and LIBDIR are absolute paths, and \"$directory\" is not" >&2; exit 1 ;;
    esac
done
[ -e target/install/libroute_native.so ] || {
    echo "route_native: there is no library to install; run: make lib" >&2
    exit 1
}

# put MODE SOURCE TARGET: installs a file under a new inode, because a running nginx may have the old one open.
put() {
    mkdir -p "$DESTDIR$(dirname "$3")"
    cp "$2" "$DESTDIR$3.new"
    chmod "$1" "$DESTDIR$3.new"
    mv "$DESTDIR$3.new" "$DESTDIR$3"
}

put 755 target/install/libroute_native.so "$LIBDIR/libroute_native.so"
(cd lua && find . -name '*.lua' -o -name '*.html') | while read -r module; do
    put 644 "lua/$module" "$LUADIR/${module#./}"
done
# Modules under other libraries' names are on no path by default (docs/migrate.md).
(cd compat && find . -name '*.lua') | while read -r module; do
    put 644 "compat/$module" "$SHAREDIR/compat/${module#./}"
done
(cd conf && find . -type f) | while read -r file; do
    put 644 "conf/$file" "$SHAREDIR/conf/${file#./}"
done
# The examples' sites and their Lua, under the paths of the checkout.
for file in examples/*/site.conf examples/*/*.lua; do
    put 644 "$file" "$SHAREDIR/conf/$file"
done
# The names of these sites in release 0.1: a user's own site may include them.
for site in examples/*/site.conf; do
    old=$DESTDIR$SHAREDIR/conf/${site%/site.conf}.conf
    echo "include $site;" > "$old.new"
    chmod 644 "$old.new"
    mv "$old.new" "$old"
done
put 644 scripts/nginx.sh "$SHAREDIR/scripts/nginx.sh"
for script in docker-entrypoint.sh scripts/healthcheck.sh scripts/reload.sh; do
    put 755 $script "$SHAREDIR/$script"
done
