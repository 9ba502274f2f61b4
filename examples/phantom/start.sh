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

# Makes the authorization server's certificate, which signs itself, and its key. The gateway trusts it.
certificate() {
    local keys=$RUN_DIR/keys
    mkdir -p "$keys"
    [ -e "$keys/phantom_tls.pem" ] || openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=authorization-server \
        -addext subjectAltName=DNS:authorization-server,DNS:localhost -keyout "$keys/phantom_tls.key" \
        -out "$keys/phantom_tls.pem" 2> /dev/null
    ROUTE_CA_FILE=$(realpath "$keys/phantom_tls.pem")
    export ROUTE_CA_FILE
}

# Writes the settings beside nginx.conf, where site.conf reads them.
write_settings() {
    local authorization_server=$1 api=$2
    mkdir -p "$RUN_DIR/etc"
    cat > "$RUN_DIR/etc/phantom.lua" << LUA
local function config(scope)
    return {
        introspection_endpoint = "https://authorization-server/oauth/v2/oauth-introspect",
        client_id = "introspection-client",
        client_secret = "Password1",
        token_cache_seconds = 900,
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
    local port
    certificate
    start_server api
    local api=$port
    start_server authorization_server --phantom-tokens --max-age 60 --tls-cert "$ROUTE_CA_FILE" \
        --tls-key "$RUN_DIR/keys/phantom_tls.key"
    authorization_server=$port
    write_settings "$authorization_server" "$api"
}

example_show() {
    local token_endpoint=https://localhost:$authorization_server/oauth/v2/oauth-token
    echo "token endpoint: $token_endpoint"
    echo "curl --cacert $ROUTE_CA_FILE -u test-client:Password1 -d grant_type=client_credentials -d scope=read $token_endpoint"
    echo "$CURL -H 'Authorization: Bearer <access_token>' $URL/api"
}
