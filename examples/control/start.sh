# EXAMPLE=control: the desktop gateway and the border in one nginx, with revocations in Redis, the admin server, and
# Prometheus. Each has a free port of 127.0.0.1, from PORT upwards.

# shellcheck source=examples/desktop/start.sh
. examples/desktop/start.sh
# shellcheck source=examples/border/start.sh
. examples/border/start.sh
export SITE=examples/control/site.conf

# The key pair of the admin tokens. The gateway has the public key.
admin_keys() {
    local keys=$RUN_DIR/keys/admin
    [ -e "$keys/signing_public.pem" ] || target/release/route-token keygen --force "$keys" > /dev/null
    ROUTE_ADMIN_KEY=$(cd "$keys" && pwd)/signing_public.pem
    export ROUTE_ADMIN_KEY
}

# It writes what it is told to a file before it answers.
start_redis() {
    local directory=$RUN_DIR/redis
    mkdir -p "$directory"
    directory=$(cd "$directory" && pwd)
    rm -f "$directory/redis.sock"
    background "$RUN_DIR/logs/redis.log" redis-server --port 0 --unixsocket "$directory/redis.sock" --dir "$directory" \
        --save '' --appendonly yes --appendfsync always --maxmemory-policy noeviction
    wait_for $! "Redis ($RUN_DIR/logs/redis.log)" redis_answers "$directory/redis.sock"
    STORE=redis STORE_ADDR=unix:$directory/redis.sock
    export ROUTE_REVOCATION_REDIS=$STORE_ADDR
}

redis_answers() { [ "$(redis-cli -s "$1" ping 2> /dev/null)" = PONG ]; }

start_prometheus() {
    local rules
    rules=$(pwd)/deploy/alerts.yml
    cat > "$RUN_DIR/prometheus.yml" << YAML
global:
  scrape_interval: 1s
  evaluation_interval: 1s
rule_files: ["$rules"]
scrape_configs:
  - job_name: route_native
    static_configs: [{ targets: ["127.0.0.1:$ADMIN_PORT"] }]
YAML
    background /dev/null prometheus --config.file="$RUN_DIR/prometheus.yml" --storage.tsdb.path="$RUN_DIR/prometheus" \
        --web.listen-address="127.0.0.1:$PROMETHEUS_PORT" 2> "$RUN_DIR/logs/prometheus.log"
    wait_for $! "Prometheus ($RUN_DIR/logs/prometheus.log)" open_port "$PROMETHEUS_PORT"
}

example_start() {
    scripts/setup.sh control
    demo_keys
    demo_desktop
    admin_keys
    start_redis
    border_services
    ADMIN_PORT=$(free_port $((PORT + 1)))
    BORDER_PORT=$(free_port $((ADMIN_PORT + 1)))
    PROMETHEUS_PORT=$(free_port $((BORDER_PORT + 1)))
    mkdir -p "$RUN_DIR/etc/runtime"
    echo "listen 127.0.0.1:$BORDER_PORT;" > "$RUN_DIR/etc/runtime/border_listen.conf"
    ROUTE_ADMIN_LISTEN="unix:$(cd "$RUN_DIR" && pwd)/admin.sock, 127.0.0.1:$ADMIN_PORT"
    export ROUTE_ADMIN_LISTEN
    # Open connections end with what allowed them, also at `exp`.
    export ROUTE_CONNECTION_ENDS=${ROUTE_CONNECTION_ENDS:-expiry}
}

# Returns whether the gateway has the revocations that are in Redis.
is_ready() {
    local line
    { exec 3<> "/dev/tcp/127.0.0.1/$PORT"; } 2> /dev/null || return 1
    printf 'GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3
    read -r -t 5 line <&3
    exec 3>&-
    [[ $line == 'HTTP/'*' 200 '* ]]
}

example_ready() {
    start_prometheus
    wait_for $! 'the gateway (/readyz)' is_ready
}

example_show() {
    local admin=http://127.0.0.1:$ADMIN_PORT
    echo "status: $admin/"
    echo "metrics: $admin/metrics"
    echo "token: $(demo_token --claim sub=demo)"
    echo "revoke: target/release/route-token revoke --server $admin --admin-key $RUN_DIR/keys/admin/signing_private.pem --sub demo"
    echo "prometheus: http://127.0.0.1:$PROMETHEUS_PORT/alerts"
    echo "border: http://127.0.0.1:$BORDER_PORT/b/page (log in as user@example.com with the password: password)"
}
