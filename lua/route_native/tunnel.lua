-- Websocket tunnels behind nginx: the first of the two checks of a registration (conf/tunnel.conf).

local response = require "route_native.response"
local route_native = require "route_native"

local ngx = ngx

local _M = {}

-- For the access phase. Passes viewers, and clients whose token is good and names their tunnel; ends any other request
-- with 401. The server checks again, and more (audience, lifetime): it must not depend on what stands in front of it.
function _M.admit()
    local id = ngx.var.http_x_websocktunnel_id
    if not id or id == "" then
        return
    end
    -- Debian's nginx joins repeated headers; two tokens do not match this.
    local token = (ngx.var.http_authorization or ""):match("^Bearer ([%w_.-]+)$")
    local claims = token and route_native.verify(token)
    if not claims or claims.tid ~= id then
        return response.invalid_token()
    end
end

return _M
