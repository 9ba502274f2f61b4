--- Websocket tunnels behind nginx: checks registrations, and viewers if a file says so. `conf/tunnel.conf` calls both
-- functions.
--
-- @module route_native.tunnel

local auth = require "route_native.auth"
local response = require "route_native.core.response"
local route_native = require "route_native"

local error, ipairs, type = error, ipairs, type
local ngx = ngx

local _M = {}

-- What viewers have to show, or nil when the services behind the tunnels ask for themselves.
local viewers

local function mistake(path, what)
    error(("route_native: TUNNEL_VIEWERS: %s: %s"):format(path, what), 0)
end

-- The target that a server is asked for is what the viewer wrote, byte for byte, so a token in it would go along.
local function in_the_query(source)
    return type(source) == "string" and source:find("^query:") ~= nil
end

-- Reads the file that TUNNEL_VIEWERS names: it returns what auth.check() takes (docs/auth.md).
local function read_viewers(path)
    local chunk, trouble = loadfile(path)
    if not chunk then
        mistake(path, trouble)
    end
    local ok, config = pcall(chunk)
    if not ok then
        mistake(path, tostring(config))
    elseif type(config) ~= "table" then
        mistake(path, "returns no table")
    end
    for _, source in ipairs(type(config.token) == "table" and config.token or { config.token }) do
        if in_the_query(source) then
            mistake(path, "a viewer's token comes in a header or a cookie, not in the query")
        end
    end
    ok, trouble = pcall(auth.prepare_check, config)
    if not ok then
        mistake(path, tostring(trouble))
    end
    return config
end

--- Reads the keys of registrations, and the check of viewers that `TUNNEL_VIEWERS` names. Call it in `init_by_lua`. A
-- mistake raises an error, so that nginx does not start.
function _M.setup()
    route_native.setup()
    local path = os.getenv "TUNNEL_VIEWERS"
    viewers = path and path ~= "" and read_viewers(path) or nil
end

-- A registration: its token has to be good and to name its tunnel. The server checks again, and more (audience,
-- lifetime): it must not depend on what stands in front of it.
local function admit_client(id)
    -- Debian's nginx joins repeated headers; two tokens do not match this.
    local token = (ngx.var.http_authorization or ""):match("^Bearer ([%w_.-]+)$")
    local claims = token and route_native.verify(token)
    if not claims or claims.tid ~= id then
        return response.invalid_token()
    end
end

--- Checks a registration or a viewer. Ends a refused registration with 401, and a refused viewer as `auth.check()`
-- does. Call it in the access phase.
function _M.admit()
    local id = ngx.var.http_x_websocktunnel_id
    -- Only the root is registered at: below it the header means nothing, and must spare no viewer the check.
    if ngx.var.tunnel_viewed == "" and id and id ~= "" then
        return admit_client(id)
    elseif viewers then
        auth.check(viewers)
    end
end

return _M
