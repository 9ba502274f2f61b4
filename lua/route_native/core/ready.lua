-- What must be there before this nginx can serve. /readyz asks (control/ready.lua).

local _M = {}

local checks = {}

-- Adds a check: a function that returns nil, or one sentence about what is missing. `reason` is the word for it:
-- "keys", "dictionary", "jwks", "store" or "revocations". Neither may tell a path or an address, because anybody can
-- read them. The function gets whether it may ask another server for what is missing. Only init_by_lua adds checks:
-- requests could add more and more.
function _M.add(reason, check)
    if ngx.get_phase() == "init" then
        checks[#checks + 1] = { reason = reason, check = check }
    end
end

-- Returns a check that asks another server at most once a second in this worker, because anybody can read /readyz.
-- Requests that come meanwhile get the answer before it.
function _M.once_a_second(check)
    local asked_at, message = nil, "It was not asked yet"
    return function(may_ask)
        if asked_at ~= ngx.time() then
            asked_at = ngx.time()
            message = check(may_ask)
        end
        return message
    end
end

-- Returns nil if nothing is missing, or the reason and the sentence of the first that is. With `may_ask` a check may
-- ask another server for it.
function _M.missing(may_ask)
    for _, item in ipairs(checks) do
        local ok, message = pcall(item.check, may_ask)
        if not ok then
            ngx.log(ngx.ERR, "route_native: readyz: ", message)
            message = "A check has failed"
        end
        if message then
            return item.reason, message
        end
    end
end

return _M
