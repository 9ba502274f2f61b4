-- Counts how many answers an 8 MB dictionary holds before it drops one, stored as gateway.lua stores them: 32 bytes of
-- digest, the target, its seconds, and when it ends.

local _M = {}

-- ?target= is the host that every session has.
function _M.count()
    local sessions, target = ngx.shared.sessions, ngx.var.arg_target
    sessions:flush_all()
    sessions:flush_expired()
    local count = 0
    while true do
        local key = ngx.sha1_bin(tostring(count)) .. "and 12 bytes"
        local ok, trouble, forcible = sessions:set(key, target, 600, ngx.time() + 600)
        assert(ok, trouble)
        if forcible then
            return ngx.print(count)
        end
        count = count + 1
    end
end

return _M
