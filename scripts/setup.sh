#!/usr/bin/env bash
# Installs missing programs: setup.sh run | tls | phantom | control | test | bench | image
#
# As root it installs Debian's or Ubuntu's packages. Otherwise it names the missing packages in one sentence.
# It never installs Rust, because a distribution's Rust is often too old, and fails if cargo is missing.

set -euo pipefail

fail() {
    echo "route_native: $1" >&2
    exit 1
}

# Pairs of a path or command, and the package that has it.
RUN=(
    nginx=nginx-light
    /usr/lib/nginx/modules/ngx_http_lua_module.so=libnginx-mod-http-lua
    /usr/lib/nginx/modules/ngx_http_headers_more_filter_module.so=libnginx-mod-http-headers-more-filter
    /usr/share/lua/5.1/resty/core.lua=lua-resty-core
    /usr/lib/*/lua/5.1/cjson.so=lua-cjson
    /usr/share/lua/5.1/nginx/memcached.lua=lua-nginx-memcached
    /usr/share/lua/5.1/nginx/redis.lua=lua-nginx-redis
)
# python3 runs the services of the border example.
BUILD=(cc=gcc /usr/include/stdio.h=libc6-dev make=make cmake=cmake python3=python3)
TEST=(
    luajit=luajit2
    busted=lua-busted
    luacheck=lua-check
    ldoc=lua-ldoc
    luarocks=luarocks
    shellcheck=shellcheck
    /usr/lib/*/lua/5.1/socket/core.so=lua-socket
    /usr/lib/*/pkgconfig/luajit.pc=libluajit2-5.1-dev
    pkg-config=pkg-config
    curl=curl
    ss=iproute2
    pgrep=procps
    openssl=openssl
    /usr/lib/python3/dist-packages/pip/__init__.py=python3-pip
    /usr/lib/python3/dist-packages/jwt/api_jwt.py=python3-jwt
    /usr/lib/python3/dist-packages/cryptography/__init__.py=python3-cryptography
    redis-server=redis-server
    memcached=memcached
    certbot=certbot
    pebble=pebble
    Xtigervnc=tigervnc-standalone-server
    websockify=websockify
    pulseaudio=pulseaudio
    xterm=xterm
    xclip=xclip
    xrandr=x11-xserver-utils
    xwininfo=x11-utils
    chromium=chromium
    chromedriver=chromium-driver
    caddy=caddy
)
# The authorization server of `make run EXAMPLE=phantom` and of the specs runs on Node.js.
PHANTOM=(
    node=nodejs
    npm=npm
    openssl=openssl
    /etc/ssl/certs/ca-certificates.crt=ca-certificates
)
# The servers beside the gateway of `make run EXAMPLE=control`. promtool, which the specs use too, is Prometheus's own.
CONTROL=(redis-server=redis-server prometheus=prometheus)
BENCH=(wrk=wrk)
IMAGE=(buildah=buildah debootstrap=debootstrap)

present() {
    case $1 in
        # The path may be a pattern, and one match is enough.
        /*) compgen -G "$1" > /dev/null ;;
        *) command -v "$1" > /dev/null ;;
    esac
}

has_openresty() {
    command -v openresty > /dev/null || [ -x /usr/local/openresty/nginx/sbin/nginx ]
}

wanted=("${BUILD[@]}")
has_openresty || wanted+=("${RUN[@]}")
case ${1:?usage: setup.sh run | tls | phantom | control | test | bench | image} in
    run) ;;
    tls) wanted+=(openssl=openssl) ;;
    phantom) wanted+=("${PHANTOM[@]}") ;;
    control) wanted+=("${CONTROL[@]}") ;;
    test) wanted+=("${TEST[@]}" "${PHANTOM[@]}" "${CONTROL[@]}") ;;
    bench) wanted+=("${TEST[@]}" "${BENCH[@]}") ;;
    image) wanted+=("${TEST[@]}" "${IMAGE[@]}") ;;
    *) fail "setup.sh knows run, tls, phantom, control, test, bench and image, and not \"$1\"" ;;
esac

missing=()
for pair in "${wanted[@]}"; do
    present "${pair%%=*}" || missing+=("${pair#*=}")
done

if [ ${#missing[@]} -gt 0 ]; then
    command -v apt-get > /dev/null || fail "please install ${missing[*]} (Debian's names), and try again"
    [ "$(id -u)" = 0 ] || fail "please run: sudo apt-get install --no-install-recommends ${missing[*]}"
    echo "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    # Keep apt from starting nginx as a service on port 80.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' > $policy
        chmod +x $policy
        trap 'rm -f $policy' EXIT
    fi
    log=$(mktemp)
    { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } > "$log" 2>&1 || {
        tail -n 20 "$log" >&2
        fail "apt-get could not install ${missing[*]}"
    }
    rm -f "$log"
fi

command -v cargo > /dev/null || fail "cargo is missing; install Rust 1.88 or newer (rustup does it), and try again"

# packages DIRECTORY: installs the exact packages of its lock file, verified by its digests, and installs them again if
# the file changes.
packages() {
    [ "$1/package-lock.json" -nt "$1/node_modules/.package-lock.json" ] || return 0
    local log
    log=$(mktemp)
    (cd "$1" && npm ci --ignore-scripts) > "$log" 2>&1 || {
        tail -n 20 "$log" >&2
        fail "npm could not install the packages of $1"
    }
    touch "$1/node_modules/.package-lock.json"
    rm -f "$log"
}

root=$(dirname "$0")/..
case $1 in
    phantom) packages "$root/examples/phantom" ;;
    # The specs have noVNC, and an independent client of bound tokens.
    test) for folder in examples/phantom examples/bound spec/novnc; do packages "$root/$folder"; done ;;
esac
