-- Nodes that share their revocations through Redis: gateways with a location that checks tokens.

local auth = require "support.auth"
local http = require "support.http"
local process = require "support.process"
local revocation = require "support.revocation"

local _M = {}

local SITE = [[
include revocation_http.conf;
init_by_lua_block { require("route_native.hooks").start(function() end) }
include admin.conf;
server {
    include runtime/listen.conf;
    include log_vars.conf;
    location = /api {
        access_by_lua_block { require("route_native.auth").check { secret_file = "DIRECTORY/keys/jwt_secret" } }
        content_by_lua_block { ngx.print("in") }
    }
    location = /slow {
        include connection.conf;
        access_by_lua_block { require("route_native.auth").check { secret_file = "DIRECTORY/keys/jwt_secret" } }
        content_by_lua_block { ngx.say("in") ngx.flush(true) ngx.sleep(600) }
    }
    location = /.age {
        content_by_lua_block {
            local revocation = require "route_native.revocation"
            ngx.print(revocation.age(), " ", revocation.misfits())
        }
    }
    location = /.leader {
        content_by_lua_block { ngx.print(ngx.shared.revocations:get("leader")) }
    }
}
]]

-- Starts a node. `environment` has its ROUTE_REVOCATION_… variables. `change`, if any, returns another site for one.
-- Returns the gateway, or nil and nginx's output.
function _M.start(environment, change)
    local directory = auth.directory()
    process.write(directory .. "/admin.jwk", ('{"kty":"oct","k":"%s"}'):format(("QUJD"):rep(11)))
    return auth.start(directory, function(variables)
        variables.ROUTE_ADMIN_KEY = directory .. "/admin.jwk"
        for name, value in pairs(environment) do
            variables[name] = value
        end
        local site = revocation.site((SITE:gsub("DIRECTORY", directory)))
        return change and change(site) or site
    end)
end

-- The key of admin tokens.
_M.ADMIN_SECRET = ("ABC"):rep(11)

-- Returns a token of a user, issued a minute ago.
function _M.token(node, claims)
    claims.exp, claims.iat = claims.exp or os.time() + 600, claims.iat or os.time() - 60
    return auth.token(node.directory, claims)
end

-- Waits until each worker of a node answers a token with a status.
function _M.wait_for(node, expected, token)
    revocation.wait_for(expected, function() return node:get("/api", token).status end)
end

-- Returns the age of the node's knowledge, and the number of revocations that do not fit.
function _M.age(node)
    local age, misfits = http.request(node.port, { path = "/.age" }).body:match("^(%S+) (%d+)$")
    return tonumber(age), tonumber(misfits)
end

-- Waits until each worker of all nodes has so many revocations.
function _M.wait_for_count(nodes, expected)
    for _, node in ipairs(nodes) do
        revocation.wait_for(expected, function() return revocation.list(node.port, "limit=1").count end)
    end
end

return _M
