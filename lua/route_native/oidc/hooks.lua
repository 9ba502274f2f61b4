-- Calls the functions that a program of resty_openidc.lua has for the life of its sessions (`lifecycle`). They belong
-- to the request, because a program passes them with each call.

local ngx = ngx

local _M = {}

-- Sets the functions of this request, by name: on_created, on_authenticated, on_regenerated and on_logout.
function _M.set(lifecycle)
    ngx.ctx.oidc_lifecycle = lifecycle
end

-- Calls the function of a name, if there is one. Returns its result, or the error that it raises.
function _M.run(name, ...)
    if ngx.get_phase() == "timer" then
        return nil
    end
    local lifecycle = ngx.ctx.oidc_lifecycle
    local hook = lifecycle and lifecycle[name]
    if not hook then
        return nil
    end
    local ok, result = pcall(hook, ...)
    if not ok or result then
        ngx.log(ngx.ERR, "route_native.resty_openidc: the function ", name, " of lifecycle failed")
    end
    return not ok and "failed" or result
end

return _M
