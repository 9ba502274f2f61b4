# EXAMPLE=oidc: users log in at a provider (oidc-provider), and an API shows what the gateway tells it about them.
# docs/oidc.md explains it.

export SITE=examples/oidc/site.conf
SERVERS=examples/oidc

# start_server NAME [ARGUMENT…]: starts one of the servers and sets $ports to its ports.
start_server() {
    local name=$1 log=$RUN_DIR/logs/$1.log
    shift
    rm -f "$log"
    background "$log" node "$SERVERS/$name.mjs" "$@"
    wait_for $! "$name (see $log)" grep -qs '^ready' "$log"
    ports=$(sed -n 's/^ready //p' "$log")
}

# Writes the settings beside nginx.conf, where site.conf reads them.
write_settings() {
    mkdir -p "$RUN_DIR/etc"
    cat > "$RUN_DIR/etc/oidc.lua" << LUA
return {
    gate = {
        providers = { id = {
            issuer = "$issuer", client_id = "gateway", client_secret = "Gateway-secret-of-the-example-1",
            scope = "openid email profile", title = "The example's provider", userinfo = true,
        } },
        policies = {
            default = { access_token = true, headers = { ["X-Auth-User"] = "sub", ["X-Auth-Email"] = "email" } },
            admin = { acr = "urn:strong", max_age = 600, headers = { ["X-Auth-User"] = "sub" } },
        },
        callback_path = "/app/callback",
        default_path = "/app",
        -- The example has no TLS.
        cookie_secure = false,
    },
    api = {
        introspection_endpoint = "$issuer/token/introspection",
        client_id = "introspection-client",
        client_secret = "Password1",
        scope = "read",
        headers = { ["X-Auth-Client"] = "client_id" },
    },
}
LUA
    echo "upstream api { server 127.0.0.1:$1; keepalive 16; }" > "$RUN_DIR/etc/oidc_upstream.conf"
}

example_start() {
    scripts/setup.sh phantom
    local ports api
    start_server api
    api=$ports
    start_server provider --gateway "http://127.0.0.1:$PORT"
    issuer=http://localhost:${ports% *}
    write_settings "$api"
}

example_show() {
    echo "provider: $issuer"
    echo "token endpoint: $issuer/token"
    echo "open http://127.0.0.1:$PORT/app and log in as demo with the password: demo"
    echo "curl -u test-client:Password1 -d grant_type=client_credentials -d scope=read $issuer/token"
    echo "curl -H 'Authorization: Bearer <access_token>' http://127.0.0.1:$PORT/api"
}
