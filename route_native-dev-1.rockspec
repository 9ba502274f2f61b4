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
    -- Library, Lua modules, and under share/route_native of the rock the configuration.
    install_command = "env ROCK=1 PREFIX=$(PREFIX) LUADIR=$(LUADIR) LIBDIR=$(LIBDIR) sh scripts/install.sh",
}
