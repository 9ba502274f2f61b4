# EXAMPLE=tunnel: websocket tunnels. Starts two servers behind nginx, and a client that exposes the demo desktop under
# the ID demo: /tunnel/demo/x reaches it.

export SITE=conf/tunnel.conf
CARGO_FEATURES=cli,demo,tunnel

base64url() { base64 -w 0 | tr '+/' '-_' | tr -d '='; }

# Generates the secrets A and B, and writes both as a JWK Set for nginx.
tunnel_keys() {
    local keys=$RUN_DIR/keys
    [ -e "$keys/payload_private.pem" ] || target/release/route-token keygen --force "$keys" > /dev/null
    keys=$(cd "$keys" && pwd)
    (
        umask 077
        for name in a b; do
            [ -e "$keys/tunnel_secret_$name" ] || head -c 32 /dev/urandom | base64url > "$keys/tunnel_secret_$name"
        done
        printf '{"keys":[{"kty":"oct","k":"%s"},{"kty":"oct","k":"%s"}]}' \
            "$(base64url < "$keys/tunnel_secret_a")" "$(base64url < "$keys/tunnel_secret_b")" > "$keys/tunnel_jwks.json"
    )
    TASKCLUSTER_PROXY_SECRET_A=$(cat "$keys/tunnel_secret_a")
    TASKCLUSTER_PROXY_SECRET_B=$(cat "$keys/tunnel_secret_b")
    export TASKCLUSTER_PROXY_SECRET_A TASKCLUSTER_PROXY_SECRET_B
    export JWT_DESKTOP_SIGNING_PUBLIC_KEY=$keys/tunnel_jwks.json JWT_DESKTOP_PAYLOAD_PRIVATE_KEY=$keys/payload_private.pem
}

example_start() {
    tunnel_keys
    local log=$RUN_DIR/logs/demo.log
    rm -f "$log"
    SERVICE_PORT=$(free_port $((PORT + 1)))
    background "$log" target/release/demo-desktop --only-first "$SERVICE_PORT"
    wait_for $! 'the demo desktop' grep -qs '^ready' "$log"

    mkdir -p "$RUN_DIR/etc/runtime"
    : > "$RUN_DIR/etc/runtime/tunnel_servers.conf"
    local port=$SERVICE_PORT number
    export URL_PREFIX=$URL/tunnel
    for number in 1 2; do
        port=$(free_port $((port + 1)))
        log=$RUN_DIR/logs/tunnel_server_$number.log
        PORT=$port TUNNEL_BIND=127.0.0.1 TUNNEL_BEHIND_PROXY=1 \
            background /dev/null target/release/websocktunnel 2> "$log"
        wait_for $! "tunnel server $number ($log)" open_port "$port"
        echo "server 127.0.0.1:$port max_fails=1 fail_timeout=2s;" >> "$RUN_DIR/etc/runtime/tunnel_servers.conf"
    done
}

# The client connects through nginx, so it starts last.
example_ready() {
    local log=$RUN_DIR/logs/tunnel_client.log
    WST_TOKEN=$(target/release/websocktunnel --mint demo --ttl 2592000) \
        background /dev/null target/release/wst-client "http://127.0.0.1:$PORT/tunnel/" demo "$SERVICE_PORT" 2> "$log"
    wait_for $! "the tunnel's client ($log)" grep -qs 'connected to websocktunnel' "$log"
}

example_show() {
    echo "$CURL $URL/tunnel/demo/x"
}
