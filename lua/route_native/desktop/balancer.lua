-- Connects to the desktop that resolve() found, over connections that nginx keeps alive: for balancer_by_lua in an
-- upstream with `keepalive`, which a proxy_pass with a variable host cannot have.

local balancer = require "ngx.balancer"

local set_current_peer = balancer.set_current_peer
local ngx, tonumber = ngx, tonumber
local var = ngx.var

local _M = {}

-- $target must be an address, $desktop_port its port.
function _M.connect()
    local ok, trouble = set_current_peer(var.target, tonumber(var.desktop_port))
    if not ok then
        ngx.log(ngx.ERR, "route_native: no connection to the desktop: ", trouble)
        return ngx.exit(ngx.ERROR)
    end
end

return _M
