-- Makes room in dictionaries that keep their entries: one that anybody can fill must refuse, and not evict.

local ngx = ngx

local _M = {}

-- Removes the entries of `owner.dict` that have ended. Returns whether that made room. It visits all entries, so it
-- runs at most once a second for an owner. `problem` completes the log line of a full dictionary.
function _M.make(owner, problem)
    local now = ngx.time()
    if now == owner.flushed_at then
        return false
    end
    owner.flushed_at = now
    if owner.dict:flush_expired() > 0 then
        return true
    end
    ngx.log(ngx.ERR, "route_native: lua_shared_dict ", owner.name, " is full of ", problem,
        "; a larger one holds more")
    return false
end

return _M
