# EXAMPLE=phantom: clients hold opaque tokens, the API receives JWTs. Starts an authorization server (oidc-provider) and
# an API that describes each request. docs/phantom-token.md explains it.

export SITE=examples/phantom/site.conf
SERVERS=examples/phantom

# start_server NAME LOG [ARGUMENT…]: starts one of the servers and sets $port to its port.
start_server() {
    local name=$1 log=$RUN_DIR/logs/$1.log
    shift
    rm -f "$log"
    background "$log" node "$SERVERS/$name.mjs" "$@"
    wait_for $! "$name (see $log)" grep -qs '^ready' "$log"
    port=$(sed -n 's/^ready //p' "$log")
}

# The key that signs the API's JWTs: this authorization server answers in plain JSON.
signing_key() {
    local key=$RUN_DIR/keys/phantom_private.pem
    mkdir -p "$RUN_DIR/keys"
    if [ ! -e "$key" ]; then
        (umask 077 && openssl ecparam -genkey -name prime256v1 -noout | openssl pkcs8 -topk8 -nocrypt -out "$key")
    fi
    realpath "$key"
}

# Writes the settings beside nginx.conf, where site.conf reads them.
write_settings() {
    local key=$1 authorization_server=$2 api=$3
    mkdir -p "$RUN_DIR/etc"
    cat > "$RUN_DIR/etc/phantom.lua" << LUA
local function config(scope)
    return {
        introspection_endpoint = "http://authorization-server/token/introspection",
        client_id = "introspection-client",
        client_secret = "Password1",
        token_cache_seconds = 900,
        signing_key = "$key",
        scope = scope,
    }
end
return { api = config(), api_write = config("write") }
LUA
    cat > "$RUN_DIR/etc/phantom_upstreams.conf" << CONF
upstream authorization-server {
    server 127.0.0.1:$authorization_server;
    keepalive 16;
}
upstream api {
    server 127.0.0.1:$api;
    keepalive 16;
}
CONF
}

example_start() {
    scripts/setup.sh phantom
    local port key
    key=$(signing_key)
    start_server api
    local api=$port
    start_server authorization_server --max-age 60
    authorization_server=$port
    write_settings "$key" "$authorization_server" "$api"
}

example_show() {
    local token_endpoint=http://127.0.0.1:$authorization_server/token
    echo "token endpoint: $token_endpoint"
    echo "curl -u test-client:Password1 -d grant_type=client_credentials -d scope=read $token_endpoint"
    echo "curl -H 'Authorization: Bearer <access_token>' http://127.0.0.1:$PORT/api"
}
