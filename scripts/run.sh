#!/usr/bin/env bash
# `make run`: builds what is needed, starts the gateway in the foreground with a demo desktop behind it, and shows a
# token and the line that uses it. SIGTERM and Ctrl-C stop all that it started.
#
#   PORT (8080)  RUN_DIR (.run)  WORKERS (auto)  DEMO=0 leaves the demo desktop out
#   JWT_DESKTOP_SIGNING_PUBLIC_KEY, JWT_DESKTOP_PAYLOAD_PRIVATE_KEY: your own keys instead of the demo's

set -euo pipefail
cd "$(dirname "$0")/.."

PORT=${PORT:-8080}
RUN_DIR=${RUN_DIR:-.run}
export ROUTE_WORKERS=${WORKERS:-auto}
export ROUTE_LISTEN=127.0.0.1:$PORT

# The ports of route.conf that the demo desktop takes: the desktop's services on every address, and on the first one
# pyos, the console, the website and the speed test.
SERVICE_PORTS=6081,29781,29782,29783,29784,29785,29786,29787,29788,29789,29790
CONSOLE_PORT=29791 WEBSITE_PORT=29792 SPEEDTEST_PORT=29793

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

open_port() {
    (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null
}

build() {
    scripts/setup.sh run
    # shellcheck source=scripts/nginx.sh
    . scripts/nginx.sh
    cargo build --release --quiet --features cli,demo
}

keys() {
    mkdir -p "$RUN_DIR"
    if [ ! -e "$RUN_DIR/keys/payload_public.pem" ]; then
        target/release/route-token keygen --force "$RUN_DIR/keys" > /dev/null
    fi
    local absolute
    absolute=$(cd "$RUN_DIR/keys" && pwd)
    export JWT_DESKTOP_SIGNING_PUBLIC_KEY=${JWT_DESKTOP_SIGNING_PUBLIC_KEY:-$absolute/signing_public.pem}
    export JWT_DESKTOP_PAYLOAD_PRIVATE_KEY=${JWT_DESKTOP_PAYLOAD_PRIVATE_KEY:-$absolute/payload_private.pem}
    target/release/route-token check-keys
}

demo() {
    export PYOS_FQDN=${PYOS_FQDN:-127.0.0.1} PYOS_SERVICE_PORT=${PYOS_SERVICE_PORT:-8000}
    export ROUTE_CONSOLE_UPSTREAM=${ROUTE_CONSOLE_UPSTREAM:-127.0.0.1:$CONSOLE_PORT}
    export ROUTE_WEBSITE_UPSTREAM=${ROUTE_WEBSITE_UPSTREAM:-127.0.0.1:$WEBSITE_PORT}
    export ROUTE_SPEEDTEST_UPSTREAM=${ROUTE_SPEEDTEST_UPSTREAM:-127.0.0.1:$SPEEDTEST_PORT}
    target/release/demo-desktop --ports $SERVICE_PORTS \
        --only-first "$PYOS_SERVICE_PORT,$CONSOLE_PORT,$WEBSITE_PORT,$SPEEDTEST_PORT" > "$RUN_DIR/logs/demo.log" &
    demo_pid=$!
    children+=("$demo_pid")
    until grep -qs '^ready' "$RUN_DIR/logs/demo.log"; do
        kill -0 $demo_pid 2> /dev/null || fail "the demo desktop did not start; DEMO=0 leaves it out"
        sleep 0.05
    done
}

gateway() {
    scripts/lay-out.sh "$RUN_DIR"
    local etc
    etc=$(cd "$RUN_DIR/etc" && pwd)
    "$NGINX" -e stderr -t -q -p "$etc" -c "$etc/nginx.conf" || fail "nginx refuses its configuration, see above"
    "$NGINX" -e stderr -p "$etc" -c "$etc/nginx.conf" &
    nginx_pid=$!
    children+=("$nginx_pid")
    until open_port "$PORT"; do
        kill -0 $nginx_pid 2> /dev/null || fail "nginx did not start, see above"
        sleep 0.05
    done
}

mint() {
    target/release/route-token mint --key "$RUN_DIR/keys/signing_private.pem" \
        --payload-key "$RUN_DIR/keys/payload_public.pem" --target 127.0.0.1 --ttl 86400
}

show() {
    echo "ready: http://127.0.0.1:$PORT"
    # Only the demo's own key can sign here.
    cmp -s "$JWT_DESKTOP_SIGNING_PUBLIC_KEY" "$RUN_DIR/keys/signing_public.pem" || return 0
    local token
    token=$(mint)
    echo "token: $token"
    echo "curl -H 'Authorization: Bearer $token' http://127.0.0.1:$PORT/filer/hello"
}

case $PORT in
    *[!0-9]* | '' | ??????*) fail "PORT must be a port number, and is \"$PORT\"" ;;
esac
! open_port "$PORT" || fail "port $PORT on 127.0.0.1 is in use; choose another: make run PORT=8081"

trap stop EXIT
trap 'stop; exit 143' TERM
trap 'stop; exit 130' INT
build
keys
mkdir -p "$RUN_DIR/logs"
[ "${DEMO:-1}" = 0 ] || demo
gateway
show
# Ends when the first of them does; then the others are stopped.
wait -n
fail "a part of the gateway ended by itself; see $RUN_DIR/logs"
