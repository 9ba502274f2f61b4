-- Runs what an init_by_lua block configures. A mistake in a setting is one sentence, and no traceback follows it.

local ngx = ngx

-- Returns the sentence of one of our errors, without the place in Lua that some begin with, or nil.
local function sentence(message)
    return type(message) == "string" and not message:find("\n", 1, true)
        and message:match("route_native[%w_.]*: .*") or nil
end

local _M = {}

-- Calls `setup`. If it raises an error, nginx does not start, and a reload keeps the old configuration.
function _M.run(setup)
    local ok, message = xpcall(setup, function(message)
        return sentence(message) or debug.traceback(message, 2)
    end)
    if ok then
        return
    elseif not sentence(message) then
        error(message, 0)
    end
    ngx.log(ngx.ERR, message)
    -- Of an error that is nil, nginx says nothing itself.
    error(nil)
end

return _M
