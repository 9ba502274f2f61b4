-- Connects nginx to the desktop that resolve() found. It runs in balancer_by_lua of an upstream with `keepalive`,
-- because a proxy_pass with a variable host cannot keep connections alive.

local balancer = require "ngx.balancer"

local set_current_peer = balancer.set_current_peer
local ngx, tonumber = ngx, tonumber
local var = ngx.var

local _M = {}

-- Sets the address and the port to connect to. $target must be an address, and no name.
function _M.connect()
    local ok, err = set_current_peer(var.target, tonumber(var.desktop_port))
    if not ok then
        ngx.log(ngx.ERR, "route_native: no connection to the desktop: ", err)
        return ngx.exit(ngx.ERROR)
    end
end

return _M
