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
            ["route_native.balancer"] = "lua/route_native/balancer.lua",
            ["route_native.cdef"] = "lua/route_native/cdef.lua",
            ["route_native.cold"] = "lua/route_native/cold.lua",
            ["route_native.engine"] = "lua/route_native/engine.lua",
            ["route_native.flight"] = "lua/route_native/flight.lua",
            ["route_native.gateway"] = "lua/route_native/gateway.lua",
            ["route_native.library"] = "lua/route_native/library.lua",
            ["route_native.outbound"] = "lua/route_native/outbound.lua",
            ["route_native.phantom.answer"] = "lua/route_native/phantom/answer.lua",
            ["route_native.phantom.introspect"] = "lua/route_native/phantom/introspect.lua",
            ["route_native.phantom.settings"] = "lua/route_native/phantom/settings.lua",
            ["route_native.phantom_token"] = "lua/route_native/phantom_token.lua",
            ["route_native.query"] = "lua/route_native/query.lua",
            ["route_native.reason"] = "lua/route_native/reason.lua",
            ["route_native.request"] = "lua/route_native/request.lua",
            ["route_native.response"] = "lua/route_native/response.lua",
            ["route_native.settings"] = "lua/route_native/settings.lua",
            ["route_native.worker_thread"] = "lua/route_native/worker_thread.lua",
        },
    },
}
