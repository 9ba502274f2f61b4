# EXAMPLE=desktop, the default: the desktop gateway, with a demo desktop on 127.0.0.1 to 127.0.0.9.
#
#   DEMO=0 starts no demo desktop
#   JWT_DESKTOP_SIGNING_PUBLIC_KEY, JWT_DESKTOP_PAYLOAD_PRIVATE_KEY: your own keys instead of the demo's

# The ports of route.conf, on every address. The first address also has pyos (below), the console, the website and the
# speed test.
SERVICE_PORTS=6081,29781,29782,29783,29784,29785,29786,29787,29788,29789,29790
CONSOLE_PORT=29791 WEBSITE_PORT=29792 SPEEDTEST_PORT=29793

demo_keys() {
    local keys=$RUN_DIR/keys
    [ -e "$keys/payload_public.pem" ] || target/release/route-token keygen --force "$keys" > /dev/null
    keys=$(cd "$keys" && pwd)
    export JWT_DESKTOP_SIGNING_PUBLIC_KEY=${JWT_DESKTOP_SIGNING_PUBLIC_KEY:-$keys/signing_public.pem}
    export JWT_DESKTOP_PAYLOAD_PRIVATE_KEY=${JWT_DESKTOP_PAYLOAD_PRIVATE_KEY:-$keys/payload_private.pem}
    target/release/route-token check-keys > /dev/null
}

demo_desktop() {
    export PYOS_FQDN=${PYOS_FQDN:-127.0.0.1} PYOS_SERVICE_PORT=${PYOS_SERVICE_PORT:-8000}
    export ROUTE_CONSOLE_UPSTREAM=${ROUTE_CONSOLE_UPSTREAM:-127.0.0.1:$CONSOLE_PORT}
    export ROUTE_WEBSITE_UPSTREAM=${ROUTE_WEBSITE_UPSTREAM:-127.0.0.1:$WEBSITE_PORT}
    export ROUTE_SPEEDTEST_UPSTREAM=${ROUTE_SPEEDTEST_UPSTREAM:-127.0.0.1:$SPEEDTEST_PORT}
    local log=$RUN_DIR/logs/demo.log
    rm -f "$log"
    background "$log" target/release/demo-desktop --ports $SERVICE_PORTS \
        --only-first "$PYOS_SERVICE_PORT,$CONSOLE_PORT,$WEBSITE_PORT,$SPEEDTEST_PORT"
    wait_for $! 'the demo desktop (DEMO=0 leaves it out)' grep -qs '^ready' "$log"
}

example_start() {
    demo_keys
    [ "${DEMO:-1}" = 0 ] || demo_desktop
}

# demo_token [OPTION…]: prints a token for the demo desktop, with further options of `route-token mint`.
# shellcheck disable=SC2120 # Other examples pass options.
demo_token() {
    target/release/route-token mint --key "$RUN_DIR/keys/signing_private.pem" \
        --payload-key "$RUN_DIR/keys/payload_public.pem" --target 127.0.0.1 --ttl 86400 "$@"
}

example_show() {
    # The script can sign a token only with the demo's own keys.
    cmp -s "$JWT_DESKTOP_SIGNING_PUBLIC_KEY" "$RUN_DIR/keys/signing_public.pem" || return 0
    cmp -s "$JWT_DESKTOP_PAYLOAD_PRIVATE_KEY" "$RUN_DIR/keys/payload_private.pem" || return 0
    local token
    token=$(demo_token)
    echo "token: $token"
    echo "$CURL -H 'Authorization: Bearer $token' $URL/filer/hello"
}
