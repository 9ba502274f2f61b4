-- Counts how many answers an 8 MB dictionary holds before it evicts one. They are stored as gateway.lua stores them: 32
-- bytes of digest as the key, the target, its lifetime, and its end.

local _M = {}

-- Answers with the number. ?target= is the target of every session.
function _M.count()
    local sessions, target = ngx.shared.sessions, ngx.var.arg_target
    sessions:flush_all()
    sessions:flush_expired()
    local count = 0
    while true do
        local key = ngx.sha1_bin(tostring(count)) .. "and 12 bytes"
        local ok, err, forcible = sessions:set(key, target, 600, ngx.time() + 600)
        assert(ok, err)
        if forcible then
            return ngx.print(count)
        end
        count = count + 1
    end
end

return _M
