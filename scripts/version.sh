#!/usr/bin/env bash
# Cargo.toml defines the version. Files that cannot derive it repeat it: the lock file, route_native._VERSION, names of
# files and images in docs and deploy/, and the newest release's heading in CHANGELOG.md.
#
#   version.sh                 prints the version
#   version.sh --check [TAG]   fails if a file has another version, or if TAG is not the tag of this version
#   version.sh X.Y.Z           sets the version in all files, and dates the changelog's section "Unreleased"

set -euo pipefail
cd "$(dirname "$0")/.."

# Matches names with a version of this project: route_native-0.2.0-1.linux-x86_64.rock, route_native:0.2.0.
NAMED='(route_native[-:]|_VERSION = ")[0-9]+\.[0-9]+\.[0-9]+'

fail() {
    echo "route_native: $1" >&2
    exit 1
}

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)

# named OPTION…: greps for NAMED in the sources, except in the changelog and in the specs' examples.
named() {
    grep -rIE "$@" --exclude-dir={.git,target,node_modules,.run,dist,spec} --exclude=CHANGELOG.md -e "$NAMED" . | sed 's|^\./||'
}

# Prints FILE:LINE:VERSION for every place.
places() {
    named -no | sed -E 's/^([^:]*:[0-9]+):.*[^0-9.]([0-9.]+)$/\1:\2/'
    awk -F '"' '/^name = "route_native"$/ { getline; print "Cargo.lock:" NR ":" $2 }' Cargo.lock
    awk '/^## [0-9]/ { print "CHANGELOG.md:" NR ":" $2; exit }' CHANGELOG.md
}

check() {
    local tag=$1 place found
    found=$(places)
    for place in lua/route_native.lua Cargo.lock; do
        grep -q "^$place:" <<< "$found" || fail "$place does not say the version"
    done
    while read -r place; do
        [ "${place##*:}" = "$version" ] \
            || fail "${place%:*} says ${place##*:}, and Cargo.toml says $version; run: scripts/version.sh $version"
    done <<< "$found"
    [ -n "$tag" ] || return 0
    [ "$tag" = "v$version" ] || fail "the tag $tag does not name the version of Cargo.toml, $version"
    [ "$(awk '/^## / { print $2; exit }' CHANGELOG.md)" = "$version" ] \
        || fail "CHANGELOG.md does not begin with the section of $version; run: scripts/version.sh $version"
}

set_version() {
    local new=$1 file
    [[ $new =~ ^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)$ ]] || fail "a version is X.Y.Z, and \"$new\" is not"
    [ "$(printf '%s\n' "$version" "$new" | sort -V | tail -n 1)" = "$new" ] || fail "$new is older than $version"
    # Also accept a version that has its section already: the other files may lack it.
    grep -q "^## ${new//./\\.}\( \|$\)" CHANGELOG.md || grep -q '^## Unreleased$' CHANGELOG.md \
        || fail 'CHANGELOG.md has no section "Unreleased" to release'
    sed -i "0,/^version = .*/s//version = \"$new\"/" Cargo.toml
    sed -i "/^name = \"route_native\"$/{n;s/.*/version = \"$new\"/}" Cargo.lock
    named -l | while read -r file; do
        sed -i -E "s/(route_native[-:]|_VERSION = \")[0-9]+\.[0-9]+\.[0-9]+/\1$new/g" "$file"
    done
    grep -q "^## ${new//./\\.}\( \|$\)" CHANGELOG.md || sed -i "0,/^## Unreleased$/s//## $new ($(date -u +%F))/" CHANGELOG.md
    version=$new
    check ''
}

case ${1:-} in
    '') echo "$version" ;;
    --check) check "${2:-}" ;;
    -*) fail "usage: version.sh [--check [TAG] | X.Y.Z]" ;;
    *) set_version "$1" ;;
esac
