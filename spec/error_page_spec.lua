-- What a site answers in the place of a refusal: error_page, for each capability that checks tokens.

local auth = require "support.auth"
local gateway = require "support.gateway"
local http = require "support.http"
local process = require "support.process"

local PAGES = [[
    location @login { return 302 /login?from=$uri; }
    location = /sorry { internal; default_type text/html; return 200 "<p>sorry</p>"; }
]]

-- The directives of a location, and what a client without a token gets: status, a header, and a piece of the body.
local FORMS = {
    named = { "set $route_error_page 1; error_page 401 = @login;", 302, "location", "/login?from=", "302" },
    page = { "set $route_error_page 1; error_page 401 /sorry;", 401, "www-authenticate", "Bearer", "sorry" },
    status = { "set $route_error_page 1; error_page 401 =403 /sorry;", 403, "www-authenticate", "Bearer", "sorry" },
    nothing = { "set $route_error_page 1;", 401, "www-authenticate", "Bearer", "<title>401" },
    again = { "set $route_error_page 1; error_page 401 403 503 = @guarded;", 401, "www-authenticate", "Bearer",
        "<title>401" },
    off = { "set $route_error_page 0; error_page 401 = @login;", 401, "www-authenticate", "Bearer",
        '"code":"unauthorized"' },
    unset = { "error_page 401 = @login;", 401, "www-authenticate", "Bearer", '"code":"unauthorized"' },
}

-- A location of each form with a check.
local function locations(check, upstream)
    local all = { PAGES, ("location @guarded { %s %s }\n"):format(check, upstream) }
    for name, form in pairs(FORMS) do
        all[#all + 1] = ("location = /%s { %s %s %s }\n"):format(name, form[1], check, upstream)
    end
    return table.concat(all)
end

local VARIABLES = [[
    set $endpoint ""; set $route_uri ""; set $route_cache ""; set $route_token ""; set $route_reason "";
]]

local CAPABILITIES = {
    check = function()
        return auth.start(auth.directory(), [[
lua_shared_dict route_native_login 1m;
init_by_lua_block {
    guard = require("route_native.auth").prepare_check { key = ("0123456789abcdef"):rep(2) }
    scoped = require("route_native.auth").prepare_check { key = ("0123456789abcdef"):rep(2), scope = "write" }
    keyless = require("route_native.auth").prepare_check { key_file = "/no/such/file" }
}
server { include runtime/listen.conf; ]] .. VARIABLES
            .. locations('access_by_lua_block { require("route_native.auth").check(guard) }',
                "proxy_pass http://$auth_upstream;") .. [[
    location = /scoped {
        set $route_error_page 1; error_page 403 /sorry;
        access_by_lua_block { require("route_native.auth").check(scoped) }
        proxy_pass http://$auth_upstream;
    }
    location = /keyless {
        set $route_error_page 1; error_page 503 /sorry;
        access_by_lua_block { require("route_native.auth").check(keyless) }
        proxy_pass http://$auth_upstream;
    }
}
]])
    end,
    phantom = function()
        return auth.start(auth.directory(), [[
lua_shared_dict phantom-token 1m;
server { include runtime/listen.conf; ]] .. VARIABLES .. locations([[rewrite_by_lua_block {
    require("route_native.phantom_token").run { introspection_endpoint = "http://127.0.0.1:1/", client_id = "c",
        client_secret = "s" } }]], "proxy_pass http://$auth_upstream;") .. "}\n")
    end,
    resolve = function()
        local directory = process.temporary_directory()
        local site = process.read(gateway.ROOT .. "/conf/sites-enabled/routehttp.conf")
            :gsub("include route.conf;", function(line)
                return line .. locations("include desktop.conf;", "include proxy.conf; proxy_pass http://$desktop;")
            end)
        process.write(directory .. "/site.conf", site)
        return gateway.start { directory = directory, env = { SITE = directory .. "/site.conf" } }
    end,
}

for capability, start in pairs(CAPABILITIES) do
    describe("error_page with " .. capability, function()
        local running

        setup(function() running = assert(start()) end)
        teardown(function() running:stop() end)

        for name, form in pairs(FORMS) do
            it("answers by the form " .. name, function()
                local response = http.request(running.port, { path = "/" .. name })
                local _, status, header, value, body = unpack(form)
                assert.equal(status, response.status)
                assert.is_truthy((response.headers[header] or ""):find(value, 1, true), response.headers[header])
                assert.is_truthy(response.body:find(body, 1, true), response.body)
                assert.equal("no-store", response.headers["cache-control"])
            end)
        end

        if capability == "check" then
            it("covers a missing scope, missing keys and valid tokens", function()
                local token = auth.token(running.directory, { exp = os.time() + 300 })
                local function get(path)
                    local response = running:get(path, token)
                    return { response.status, response.body:find("sorry", 1, true) ~= nil }
                end
                assert.same({ 403, true }, get("/scoped"))
                assert.same({ 503, true }, get("/keyless"))
                assert.same({ 200, false }, get("/named"))
            end)
        end
    end)
end
