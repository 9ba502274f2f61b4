-- Who may view what is behind the tunnels: named by TUNNEL_VIEWERS, read when nginx starts (conf/tunnel.conf). The
-- fields are those of check() in docs/auth.md.

return {
    -- One secret a line, each accepted; or key_file, with the issuer's public keys. Never a secret of registrations:
    -- who may look must not be able to register.
    secret_file = ngx.config.prefix() .. "../keys/tunnel_viewers",
    policy = { algorithms = "HS256", audience = "tunnel-viewers", max_lifetime = 86400 },

    -- Not the Authorization header: that one is the service's own. Browsers send the cookie with WebSockets too.
    token = { "header:X-Tunnel-Authorization", "cookie:tunnel_viewer" },
    -- The service behind the tunnel does not see it.
    strip_token = true,

    -- A token is for one tunnel, and "*" is for all of them.
    require = {
        tunnel = function(tunnel) return tunnel == "*" or tunnel == ngx.var.tunnel_viewed end,
    },
}
