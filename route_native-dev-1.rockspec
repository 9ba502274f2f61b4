-- Builds the library with cargo and installs it with the Lua modules: `luarocks make` in a checkout.
-- scripts/package.sh makes the rockspec of a release from this one.

rockspec_format = "3.0"
package = "route_native"
version = "dev-1"
source = { url = "git+file://." } -- `luarocks make` builds what is here and fetches nothing

description = {
    summary = "Token checks for OpenResty: JWT verification, target decryption and caching in one native library",
    detailed = [[
        One Rust library behind one require: require("route_native").resolve() finds a request's token, verifies it,
        decrypts the target that it names and caches the answer. For OpenResty, and nginx with the Lua module (LuaJIT).
    ]],
    license = "MIT",
    labels = { "openresty", "nginx", "jwt", "security" },
}

supported_platforms = { "linux" }

-- OpenResty brings all else that is required: lua-resty-core and lua-cjson.
dependencies = { "lua == 5.1" }

build = {
    type = "command",
    -- Without LuaRocks' own compiler settings, which would have the cryptography built anew.
    build_command = "env -u CC -u CFLAGS -u LD -u AR -u RANLIB -u STRIP sh scripts/build-library.sh",
    install = {
        lib = { libroute_native = "target/install/libroute_native.so" },
        lua = {
            ["resty.phantom-token"] = "lua/resty/phantom-token.lua",
            ["route_native"] = "lua/route_native.lua",
            ["route_native.auth"] = "lua/route_native/auth.lua",
            ["route_native.auth_check"] = "lua/route_native/auth_check.lua",
            ["route_native.auth_keys"] = "lua/route_native/auth_keys.lua",
            ["route_native.auth_login"] = "lua/route_native/auth_login.lua",
            ["route_native.auth_token"] = "lua/route_native/auth_token.lua",
            ["route_native.balancer"] = "lua/route_native/balancer.lua",
            ["route_native.border"] = "lua/route_native/border.lua",
            ["route_native.border.access"] = "lua/route_native/border/access.lua",
            ["route_native.border.answer"] = "lua/route_native/border/answer.lua",
            ["route_native.border.call"] = "lua/route_native/border/call.lua",
            ["route_native.border.client"] = "lua/route_native/border/client.lua",
            ["route_native.border.cookie"] = "lua/route_native/border/cookie.lua",
            ["route_native.border.counters"] = "lua/route_native/border/counters.lua",
            ["route_native.border.exchange"] = "lua/route_native/border/exchange.lua",
            ["route_native.border.flight"] = "lua/route_native/border/flight.lua",
            ["route_native.border.health"] = "lua/route_native/border/health.lua",
            ["route_native.border.keys"] = "lua/route_native/border/keys.lua",
            ["route_native.border.limits"] = "lua/route_native/border/limits.lua",
            ["route_native.border.login"] = "lua/route_native/border/login.lua",
            ["route_native.border.logout"] = "lua/route_native/border/logout.lua",
            ["route_native.border.record"] = "lua/route_native/border/record.lua",
            ["route_native.border.services"] = "lua/route_native/border/services.lua",
            ["route_native.border.sessions"] = "lua/route_native/border/sessions.lua",
            ["route_native.border.settings"] = "lua/route_native/border/settings.lua",
            ["route_native.cdef"] = "lua/route_native/cdef.lua",
            ["route_native.claim_headers"] = "lua/route_native/claim_headers.lua",
            ["route_native.claim_rules"] = "lua/route_native/claim_rules.lua",
            ["route_native.cold"] = "lua/route_native/cold.lua",
            ["route_native.desktop_cookies"] = "lua/route_native/desktop_cookies.lua",
            ["route_native.direct"] = "lua/route_native/direct.lua",
            ["route_native.engine"] = "lua/route_native/engine.lua",
            ["route_native.fields"] = "lua/route_native/fields.lua",
            ["route_native.flight"] = "lua/route_native/flight.lua",
            ["route_native.gateway"] = "lua/route_native/gateway.lua",
            ["route_native.http_answer"] = "lua/route_native/http_answer.lua",
            ["route_native.jwks"] = "lua/route_native/jwks.lua",
            ["route_native.jwt"] = "lua/route_native/jwt.lua",
            ["route_native.keyring"] = "lua/route_native/keyring.lua",
            ["route_native.library"] = "lua/route_native/library.lua",
            ["route_native.outbound"] = "lua/route_native/outbound.lua",
            ["route_native.phantom.answer"] = "lua/route_native/phantom/answer.lua",
            ["route_native.phantom.introspect"] = "lua/route_native/phantom/introspect.lua",
            ["route_native.phantom.settings"] = "lua/route_native/phantom/settings.lua",
            ["route_native.login_body"] = "lua/route_native/login_body.lua",
            ["route_native.phantom_token"] = "lua/route_native/phantom_token.lua",
            ["route_native.query"] = "lua/route_native/query.lua",
            ["route_native.rate_limit"] = "lua/route_native/rate_limit.lua",
            ["route_native.reason"] = "lua/route_native/reason.lua",
            ["route_native.request"] = "lua/route_native/request.lua",
            ["route_native.response"] = "lua/route_native/response.lua",
            ["route_native.resty_jwt"] = "lua/route_native/resty_jwt.lua",
            ["route_native.resty_jwt_claims"] = "lua/route_native/resty_jwt_claims.lua",
            ["route_native.resty_jwt_trust"] = "lua/route_native/resty_jwt_trust.lua",
            ["route_native.resty_jwt_validators"] = "lua/route_native/resty_jwt_validators.lua",
            ["route_native.scan"] = "lua/route_native/scan.lua",
            ["route_native.session"] = "lua/route_native/session.lua",
            ["route_native.settings"] = "lua/route_native/settings.lua",
            ["route_native.store"] = "lua/route_native/store.lua",
            ["route_native.store.client"] = "lua/route_native/store/client.lua",
            ["route_native.store.memcached"] = "lua/route_native/store/memcached.lua",
            ["route_native.store.memory"] = "lua/route_native/store/memory.lua",
            ["route_native.store.redis"] = "lua/route_native/store/redis.lua",
            ["route_native.tunnel"] = "lua/route_native/tunnel.lua",
            ["route_native.worker_thread"] = "lua/route_native/worker_thread.lua",
        },
    },
}
