--- Checks registrations of websocket tunnels behind nginx, and viewers if a file asks for it. `conf/tunnel.conf` calls
-- both functions.
--
-- @module route_native.tunnel

local auth = require "route_native.auth"
local connections = require "route_native.control.connections"
local metrics = require "route_native.core.metrics"
local request = require "route_native.core.request"
local response = require "route_native.core.response"
local revoked = require "route_native.core.revoked"
local route_native = require "route_native"

local error, ipairs, type = error, ipairs, type
local ngx = ngx

local _M = {}

-- The check of viewers, or nil if the services behind the tunnels check their viewers themselves.
local viewers

-- Raises an error about the file of TUNNEL_VIEWERS.
local function config_error(path, message)
    error(("route_native: TUNNEL_VIEWERS: %s: %s"):format(path, message), 0)
end

-- Returns whether a source is the query. The viewer's URL is passed on byte for byte, with a token in it.
local function in_the_query(source)
    return type(source) == "string" and source:find("^query:") ~= nil
end

-- Runs the file that TUNNEL_VIEWERS names. Returns its result, a configuration of auth.check() (docs/auth.md).
local function read_viewers(path)
    local chunk, err = loadfile(path)
    if not chunk then
        config_error(path, err)
    end
    local ok, config = pcall(chunk)
    if not ok then
        config_error(path, tostring(config))
    elseif type(config) ~= "table" then
        config_error(path, "returns no table")
    end
    for _, source in ipairs(type(config.token) == "table" and config.token or { config.token }) do
        if in_the_query(source) then
            config_error(path, "a viewer's token comes in a header or a cookie, not in the query")
        end
    end
    ok, err = pcall(auth.prepare_check, config)
    if not ok then
        config_error(path, tostring(err))
    end
    return config
end

--- Reads the keys of registrations, and the check of viewers that `TUNNEL_VIEWERS` names. Call it in `init_by_lua`. A
-- mistake raises an error, which keeps nginx from starting.
function _M.setup()
    route_native.setup()
    local path = os.getenv "TUNNEL_VIEWERS"
    viewers = path and path ~= "" and read_viewers(path) or nil
end

-- Checks a registration: its token must be valid and name the tunnel. The server checks the token again, and audience
-- and lifetime as well, so that it does not depend on a proxy.
local function admit_client(id)
    -- Debian's nginx joins repeated headers. Two joined tokens do not match this pattern.
    local token = (ngx.var.http_authorization or ""):match("^Bearer ([%w_.-]+)$")
    revoked.prepare()
    local claims, reason = nil, "token_malformed"
    if token then
        claims, reason = route_native.verify(token)
    end
    if not claims or claims.tid ~= id then
        metrics.refused("tunnel", 401, reason or "claim_not_allowed")
        return response.invalid_token()
    end
    metrics.passed("tunnel", request.current())
    connections.keep(function()
        return revoked.identity {
            token = token, jti = claims.jti, sub = claims.sub, sid = claims.sid, iss = claims.iss,
            issued_at = claims.iat, expires_at = claims.exp,
        }
    end)
end

--- Checks a registration or a viewer. Ends a refused registration with 401, and a refused viewer as `auth.check()`
-- does. Call it in the access phase.
function _M.admit()
    local id = ngx.var.http_x_websocktunnel_id
    -- Only the root takes registrations. Below it the header is meaningless, and must not exempt a viewer from the
    -- check.
    if ngx.var.tunnel_viewed == "" and id and id ~= "" then
        return admit_client(id)
    elseif viewers then
        return auth.check(viewers)
    end
    metrics.passed("tunnel", request.current())
end

return _M
