-- Configures who may view the services behind the tunnels. TUNNEL_VIEWERS names this file, and nginx reads it when it
-- starts (conf/tunnel.conf). The fields are those of check() in docs/auth.md.

return {
    -- One secret a line, and each verifies; or use key_file with the issuer's public keys. Never use a secret of
    -- registrations: a viewer must not be able to register.
    secret_file = ngx.config.prefix() .. "../keys/tunnel_viewers",
    policy = { algorithms = "HS256", audience = "tunnel-viewers", max_lifetime = 86400 },

    -- Not the Authorization header: the service uses it. Browsers send the cookie with WebSockets too.
    token = { "header:X-Tunnel-Authorization", "cookie:tunnel_viewer" },
    -- The service behind the tunnel does not receive the token.
    strip_token = true,

    -- A token is valid for one tunnel, or for all of them with "*".
    require = {
        tunnel = function(tunnel) return tunnel == "*" or tunnel == ngx.var.tunnel_viewed end,
    },
}
