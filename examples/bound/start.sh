# EXAMPLE=bound: tokens that only their holder can use. The demo backend knows demo/demo, and the API describes each
# request. docs/bound.md explains it.
#
# RUN_DIR/keys/bound_secret signs the tokens. The script generates a missing file.

export SITE=examples/bound/site.conf

secret() {
    local file=$RUN_DIR/keys/bound_secret
    mkdir -p "$RUN_DIR/keys"
    [ -s "$file" ] || (umask 077 && head -c 32 /dev/urandom | base64 > "$file")
}

example_start() {
    secret
    # The configuration reads it beside nginx.conf.
    mkdir -p "$RUN_DIR/etc"
    echo "return \"http://127.0.0.1:$PORT\"" > "$RUN_DIR/etc/bound.lua"
    local login upstream log=$RUN_DIR/logs/demo.log
    login=$(free_port 29796)
    upstream=$(free_port $((login + 1)))
    export ROUTE_AUTH_BACKEND=127.0.0.1:$login ROUTE_AUTH_UPSTREAM=127.0.0.1:$upstream
    rm -f "$log"
    background "$log" target/release/demo-desktop --login "$login" --only-first "$upstream"
    wait_for $! 'the demo backend' grep -qs '^ready' "$log"
}

example_show() {
    echo "target/release/route-token dpop key $RUN_DIR/holder.jwk"
    echo "examples/bound/README.md has the requests"
}
