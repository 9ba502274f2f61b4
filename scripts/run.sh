#!/usr/bin/env bash
# `make run`: builds the library and the programs, starts the gateway and an example's backends in the foreground, and
# prints commands that use it. SIGTERM and Ctrl-C stop all processes.
#
#   PORT (8080)  RUN_DIR (.run)  WORKERS (auto)  EXAMPLE (desktop): a directory of examples/
#   TLS (0): 1 serves HTTPS too, on TLS_PORT (the first free one from 8443), with a throw-away CA in RUN_DIR/tls
#
# An example's start.sh defines functions, and may use those of this file and of another example. `example_start` starts the backends (with `background`) and exports the
# variables of the gateway's configuration. `example_show` prints commands when the gateway is ready. The optional
# `example_ready` starts programs that need the gateway, before the ready line. The file may set SITE, the example's
# nginx configuration, and CARGO_FEATURES. In printed commands, $CURL is curl and $URL the gateway.

set -euo pipefail
cd "$(dirname "$0")/.."

PORT=${PORT:-8080}
RUN_DIR=${RUN_DIR:-.run}
EXAMPLE=${EXAMPLE:-desktop}
CARGO_FEATURES=${CARGO_FEATURES:-cli,demo}
export ROUTE_WORKERS=${WORKERS:-auto}
export ROUTE_LISTEN=127.0.0.1:$PORT
URL=http://127.0.0.1:$PORT
CURL=curl

children=()

fail() {
    echo "route_native: $1" >&2
    exit 1
}

stop() {
    trap - EXIT TERM INT
    [ ${#children[@]} = 0 ] || kill "${children[@]}" 2> /dev/null || true
    wait || true
}

# Returns whether a program accepts connections on a port of 127.0.0.1.
open_port() {
    (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null
}

# Prints a free port, from a number upwards. nginx takes its own last.
free_port() {
    local port=$1
    while [[ " $PORT ${TLS_PORT:-} " = *" $port "* ]] || open_port "$port"; do port=$((port + 1)); done
    echo "$port"
}

# background LOG COMMAND…: starts a program that stop() ends; its process id is in $!.
background() {
    local log=$1
    shift
    "$@" > "$log" &
    children+=($!)
}

# wait_for PID WHAT CONDITION…: waits until the condition is true, and fails if the process ends first.
wait_for() {
    local pid=$1 what=$2
    shift 2
    until "$@"; do
        kill -0 "$pid" 2> /dev/null || fail "$what did not start, see above"
        sleep 0.05
    done
}

# Sets TLS_PORT.
choose_tls_port() {
    TLS_PORT=${TLS_PORT:-$(free_port 8443)}
    is_port "$TLS_PORT" || fail "TLS_PORT must be a port number, and is \"$TLS_PORT\""
    [ "$TLS_PORT" != "$PORT" ] && ! open_port "$TLS_PORT" \
        || fail "port $TLS_PORT on 127.0.0.1 is in use; choose another: make run TLS=1 TLS_PORT=8444"
}

# Serves HTTPS with a certificate for loopback names, and sends browsers there from plain HTTP.
serve_tls() {
    scripts/setup.sh tls
    scripts/throw-away-ca.sh "$RUN_DIR/tls" localhost 127.0.0.1
    local tls
    tls=$(cd "$RUN_DIR/tls" && pwd)
    export ROUTE_TLS_LISTEN=127.0.0.1:$TLS_PORT ROUTE_TLS_REDIRECT=${ROUTE_TLS_REDIRECT:-on}
    export ROUTE_TLS_CERTIFICATE=$tls/cert.pem ROUTE_TLS_CERTIFICATE_KEY=$tls/key.pem
    # shellcheck disable=SC2034 # The examples print it.
    CURL="curl --cacert $tls/ca.pem" URL=https://127.0.0.1:$TLS_PORT
}

gateway() {
    scripts/lay-out.sh "$RUN_DIR"
    local etc
    etc=$(cd "$RUN_DIR/etc" && pwd)
    "$NGINX_BINARY" -e stderr -t -q -p "$etc" -c "$etc/nginx.conf" || fail "nginx refuses its configuration, see above"
    background /dev/stdout "$NGINX_BINARY" -e stderr -p "$etc" -c "$etc/nginx.conf"
    wait_for $! nginx open_port "$PORT"
}

is_port() { [[ $1 =~ ^[1-9][0-9]{0,4}$ ]] && (($1 < 65536)); }

is_port "$PORT" || fail "PORT must be a port number, and is \"$PORT\""
case $RUN_DIR in
    *[!A-Za-z0-9_./+@%,:=-]*) fail "RUN_DIR must be a path without blanks and quotes, and is \"$RUN_DIR\"" ;;
esac
case ${TLS:-0} in 0 | 1) ;; *) fail "TLS must be 0 or 1, and is \"$TLS\"" ;; esac
! open_port "$PORT" || fail "port $PORT on 127.0.0.1 is in use; choose another: make run PORT=8081"
[ "${TLS:-0}" = 0 ] || choose_tls_port
[[ $EXAMPLE =~ ^[a-z_]+$ && -e examples/$EXAMPLE/start.sh ]] \
    || fail "EXAMPLE must be one of $(dirname examples/*/start.sh | xargs basename -a | paste -sd ' '), and is \"$EXAMPLE\""
# shellcheck source=examples/desktop/start.sh
. "examples/$EXAMPLE/start.sh"

trap stop EXIT
trap 'stop; exit 143' TERM
trap 'stop; exit 130' INT

scripts/setup.sh run
# shellcheck source=scripts/nginx.sh
. scripts/nginx.sh
# CARGO_TARGETS: further targets, which the tests need. One build then serves both.
# shellcheck disable=SC2086
cargo build --release --features "$CARGO_FEATURES" ${CARGO_TARGETS:-}
mkdir -p "$RUN_DIR/logs"
[ "${TLS:-0}" = 0 ] || serve_tls
example_start
gateway
! declare -F example_ready > /dev/null || example_ready
echo "ready: $URL"
example_show
# Returns when the first process ends. The trap then stops the others.
wait -n
fail "a part of the gateway ended by itself; see $RUN_DIR/logs"
