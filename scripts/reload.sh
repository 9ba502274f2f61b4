#!/bin/sh
# Reloads the running gateway, so that it reads its certificates and keys again: certbot's --deploy-hook. Open requests
# and WebSockets stay open. Fails, and changes nothing, if nginx could not use what it would read: nginx itself says that
# only in its log.
#
#   ROUTE_RUN_DIR (/run/route_native): that of the gateway

set -eu
unset CDPATH

run_dir=${ROUTE_RUN_DIR:-/run/route_native}
etc=$run_dir/etc

fail() {
    echo "route_native: $1" >&2
    exit 1
}

pid=$(cat "$run_dir/nginx.pid" 2> /dev/null) && kill -0 "$pid" 2> /dev/null \
    || fail "no gateway of ROUTE_RUN_DIR \"$run_dir\" runs for this user"
# shellcheck source=scripts/nginx.sh
. "$(dirname "$0")/nginx.sh"
said=$("$NGINX_BINARY" -e stderr -p "$etc" -c "$etc/nginx.conf" -t -q 2>&1) || {
    first=$(printf '%s\n' "$said" | sed -n 's/.*\[emerg\] \([0-9]*#[0-9]*: \)\{0,1\}//p' | sed -n 1p)
    fail "the gateway keeps what it has, because nginx refuses the new files: ${first:-$said}"
}
kill -HUP "$pid"
