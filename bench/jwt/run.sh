#!/usr/bin/env bash
# Verify and sign for each algorithm: against the cryptographic library's own primitives, and from Lua inside nginx against
# lua-resty-jwt, when PEER_LUA_PATH says where that and what it needs are: a directory, or templates as in LUA_PATH.
# QUICK=1 takes a tenth of the time. BENCH_OUT: the results of `make bench`, to which these are added.

set -euo pipefail
cd "$(dirname "$0")/../.."

milliseconds=200
case ${QUICK:-0} in 0 | '') ;; *) milliseconds=20 ;; esac
case ${PEER_LUA_PATH:-} in
    '') ;;
    *'?'*) export ROUTE_LUA_PATH="$PWD/lua/?.lua;$PEER_LUA_PATH" ;;
    *) export ROUTE_LUA_PATH="$PWD/lua/?.lua;$PEER_LUA_PATH/?.lua;$PEER_LUA_PATH/?/init.lua" ;;
esac
cargo build --quiet --release ${CARGO_FEATURES:+--features "$CARGO_FEATURES"} --lib --bench jwt

# shellcheck source=scripts/nginx.sh
. scripts/nginx.sh
run_dir=$(mktemp -d)
nginx=
trap '[ -z "$nginx" ] || kill "$nginx" 2> /dev/null; wait; rm -rf "$run_dir"' EXIT

for kind in RSA P-256 P-384 P-521 secp256k1 ED25519; do
    case $kind in
        RSA) options=(RSA -pkeyopt rsa_keygen_bits:2048) ;;
        ED25519) options=(ED25519) ;;
        *) options=(EC -pkeyopt "ec_paramgen_curve:$kind") ;;
    esac
    openssl genpkey -algorithm "${options[@]}" -out "$run_dir/$kind.pem" 2> /dev/null
    openssl pkey -in "$run_dir/$kind.pem" -pubout -out "$run_dir/$kind.pub"
done
cat > "$run_dir/site.conf" <<EOF
lua_shared_dict route_native_dpop 1m;
init_by_lua_block {
    local auth = require "route_native.auth"
    local secret = ("s"):rep(64)
    bearer = auth.prepare_check { key = secret }
    bound = auth.prepare_check { key = secret, dpop = { public_origins = "http://localhost", max_age = 600 } }
}
server {
    listen unix:$run_dir/socket;
    access_log off;
    set \$endpoint ""; set \$route_uri ""; set \$route_cache ""; set \$route_token ""; set \$route_reason "";
    location = /bearer { internal; content_by_lua_block { require("route_native.auth").check(bearer) ngx.exit(204) } }
    location = /bound { internal; content_by_lua_block { require("route_native.auth").check(bound) ngx.exit(204) } }
    location / {
        default_type text/plain;
        content_by_lua_block { assert(loadfile("$PWD/bench/jwt/nginx.lua"))("$run_dir", $milliseconds / 1000) }
    }
}
EOF
export SITE=$run_dir/site.conf ROUTE_WORKERS=1
scripts/lay-out.sh "$run_dir"
"$NGINX_BINARY" -e stderr -p "$run_dir/etc" -c "$run_dir/etc/nginx.conf" &
nginx=$!
until [ -S "$run_dir/socket" ]; do
    kill -0 "$nginx" || exit 1
    sleep 0.05
done
curl --silent --show-error --fail --unix-socket "$run_dir/socket" http://localhost/ > "$run_dir/lua.json"
cargo bench --quiet ${CARGO_FEATURES:+--features "$CARGO_FEATURES"} --bench jwt -- "$milliseconds" > "$run_dir/core.json"
cargo bench --quiet ${CARGO_FEATURES:+--features "$CARGO_FEATURES"} --bench jwt -- "$milliseconds" proof > "$run_dir/proof.json"
/usr/bin/python3 bench/jwt/report.py "$run_dir"/{core,lua,proof}.json ${BENCH_OUT:+"$BENCH_OUT"}
