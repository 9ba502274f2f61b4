#!/usr/bin/env bash
# `make test-image`: builds Dockerfile.jammy without pulling an image, and tests the result.
#
# In place of OpenResty's image it uses a root that debootstrap makes from this machine's own package sources: nginx and
# its Lua modules at OpenResty's paths, with the compilers that OpenResty's Jammy image keeps. In place of the Rust
# image it uses this machine's toolchain. buildah builds in a chroot, so it needs root and no daemon. All files are in
# target/image/.
#
#   BASE_SUITE: the distribution's release for the base (default: this machine's)

set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    echo "route_native: $1" >&2
    exit 1
}

[ "$(id -u)" = 0 ] || fail "make test-image needs root, for debootstrap and buildah"
scripts/setup.sh image

work=$PWD/target/image
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs TMPDIR=$work/tmp
mkdir -p "$TMPDIR"
buildah() { command buildah --root "$work/storage" --runroot "$work/run" "$@"; }

cleanup() {
    buildah umount --all > /dev/null 2>&1 || true
    buildah rm --all > /dev/null 2>&1 || true
    buildah rmi --all --force > /dev/null 2>&1 || true
    # Delete nothing while a file system is still mounted below the directory.
    grep -q " $work/" /proc/self/mountinfo || rm -rf "$work"
}
trap cleanup EXIT

step() { echo "== $1 (after $SECONDS s)"; }

# Prints the mirror that apt uses here for a release.
mirror_of() {
    apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' \
        | awk -v suite="$1" '$2 == suite { print $1; exit }'
}
suite=${BASE_SUITE:-$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)}
mirror=$(mirror_of "$suite")
[ -n "$mirror" ] || mirror=$(mirror_of "$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)")
[ -n "$mirror" ] || fail "apt knows no mirror of $suite"
eval "$(apt-config shell proxy Acquire::http::Proxy)"

# Lays out Debian's nginx as OpenResty: the binary, and site/lualib on Lua's default paths.
stand_in_layout() {
    local root=$1
    mkdir -p "$root"/usr/local/openresty/{nginx/sbin,bin,site/lualib} "$root/usr/local/share/lua" "$root/usr/local/lib/lua"
    ln -s /usr/sbin/nginx "$root/usr/local/openresty/nginx/sbin/nginx"
    ln -s /usr/local/openresty/nginx/sbin/nginx "$root/usr/local/openresty/bin/openresty"
    ln -s /usr/local/openresty/site/lualib "$root/usr/local/share/lua/5.1"
    ln -s /usr/local/openresty/site/lualib "$root/usr/local/lib/lua/5.1"
    [ -z "${proxy:-}" ] || echo "Acquire::http::Proxy \"$proxy\";" > "$root/etc/apt/apt.conf.d/80proxy"
}

base_image() {
    local container root
    container=$(buildah from scratch)
    root=$(buildah mount "$container")
    ${proxy:+env http_proxy="$proxy"} debootstrap --variant=minbase --include=build-essential,ca-certificates,curl,\
nginx-light,libnginx-mod-http-lua,libnginx-mod-http-headers-more-filter,lua-resty-core,lua-cjson \
        "$suite" "$root" "$mirror" > "$work/debootstrap.log" 2>&1 || {
        tail -n 20 "$work/debootstrap.log" >&2
        fail "debootstrap could not make a base of $suite"
    }
    stand_in_layout "$root"
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
    buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
    buildah commit --quiet --rm "$container" route-native-base:test > /dev/null
}

# Makes an image with the compiler, its libraries and the standard library, without documentation and other targets.
rust_image() {
    local container root sysroot host
    sysroot=$(rustc --print sysroot)
    host=$(rustc -vV | sed -n 's/^host: //p')
    container=$(buildah from scratch)
    root=$(buildah mount "$container")
    mkdir -p "$root"/usr/local/cargo/bin "$root"/usr/local/rustup/{bin,lib/rustlib}
    cp "$sysroot"/bin/{cargo,rustc} "$root/usr/local/rustup/bin/"
    cp -a "$sysroot"/lib/lib* "$root/usr/local/rustup/lib/"
    cp -a "$sysroot/lib/rustlib/$host" "$root/usr/local/rustup/lib/rustlib/"
    ln -s /usr/local/rustup/bin/cargo /usr/local/rustup/bin/rustc "$root/usr/local/cargo/bin/"
    # The settings for the registry, if this machine has any.
    for file in config config.toml; do
        [ ! -e "${CARGO_HOME:-$HOME/.cargo}/$file" ] || cp "${CARGO_HOME:-$HOME/.cargo}/$file" "$root/usr/local/cargo/"
    done
    buildah commit --quiet --rm "$container" route-native-rust:test > /dev/null
}

# Builds the image. It shares cargo's registry with the checkout, so nothing is downloaded twice.
image() {
    cargo fetch --quiet --locked --target "$(rustc -vV | sed -n "s/^host: //p")"
    mkdir -p "${CARGO_HOME:-$HOME/.cargo}/registry"
    buildah build --quiet --format docker --file Dockerfile.jammy --tag route-native:test \
        --build-arg BASE_IMAGE=localhost/route-native-base --build-arg BASE_IMAGE_RELEASE=test \
        --build-arg RUST_IMAGE=localhost/route-native-rust --build-arg RUST_IMAGE_RELEASE=test \
        --volume "${CARGO_HOME:-$HOME/.cargo}/registry:/usr/local/cargo/registry" . > "$work/build.log" 2>&1 || {
        tail -n 40 "$work/build.log" >&2
        fail "Dockerfile.jammy does not build"
    }
}

step "a base of $suite"
base_image
step "a Rust image of $(rustc --version)"
rust_image
step "Dockerfile.jammy"
image
step "the image's root under its own entrypoint"
[ -e target/release/demo-desktop ] || cargo build --release --quiet --features demo --bin demo-desktop
scripts/build-library.sh
container=$(buildah from --pull-never route-native:test)
buildah inspect --type container "$container" > "$work/config.json"
IMAGE_ROOT=$(buildah mount "$container") IMAGE_CONFIG=$work/config.json TMPDIR=/tmp \
    busted --lua="$(command -v luajit)" spec/image/image_spec.lua
step "done"
