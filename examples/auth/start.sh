# EXAMPLE=auth: a login that signs tokens, and two checks, with a demo backend that knows demo/demo.
#
# RUN_DIR/keys/jwt_secret holds one secret per line; the first signs. The script generates a missing file.

SITE=examples/auth/site.conf

secret() {
    local file=$RUN_DIR/keys/jwt_secret
    mkdir -p "$RUN_DIR/keys"
    # Write no line break at the end: some programs take every byte of the file as the secret.
    [ -s "$file" ] || (umask 077 && printf %s "$(head -c 32 /dev/urandom | base64 | tr -d '\n')" > "$file")
}

example_start() {
    export SITE
    secret
    local login upstream log=$RUN_DIR/logs/demo.log
    login=$(free_port 29794)
    upstream=$(free_port $((login + 1)))
    export ROUTE_AUTH_BACKEND=127.0.0.1:$login ROUTE_AUTH_UPSTREAM=127.0.0.1:$upstream
    rm -f "$log"
    background "$log" target/release/demo-desktop --login "$login" --only-first "$upstream"
    wait_for $! 'the demo backend' grep -qs '^ready' "$log"
}

example_show() {
    local login="$CURL -s -H 'Content-Type: application/json' -d '{\"username\":\"demo\",\"password\":\"demo\"}'"
    echo "TOKEN=\$($login $URL/login | sed 's/.*\"token\":\"\\([^\"]*\\)\".*/\\1/')"
    echo "$CURL -i -H \"Authorization: Bearer \$TOKEN\" $URL/check"
    echo "$CURL -i -H \"Authorization: Bearer \$TOKEN\" $URL/secure"
}
