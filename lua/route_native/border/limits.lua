-- Limits on failed logins, per address and per account, within fixed windows of time. They hold for one nginx.

local session = require "route_native.border.session_id"

local DICTIONARY = "border_state"

local _M = {}
local limits = {}
limits.__index = limits

function _M.new(settings)
    return setmetatable({
        dictionary = ngx.shared[DICTIONARY], window = settings.login_window,
        per_address = settings.login_failures_per_address, per_account = settings.login_failures_per_account,
    }, limits)
end

-- Counts an attempt before it is made, so that many at once cannot pass together. Returns what take_back() needs, or
-- nil and the seconds to wait.
function limits:count(address, account)
    local dictionary = self.dictionary
    local window = math.floor(ngx.time() / self.window)
    local keys = {
        ("attempts:%d:address:%s"):format(window, address),
        ("attempts:%d:account:%s"):format(window, session.digest(account:lower())),
    }
    local by_address = dictionary:incr(keys[1], 1, 0, self.window) or 0
    local by_account = dictionary:incr(keys[2], 1, 0, self.window) or 0
    if by_address > self.per_address or by_account > self.per_account then
        return nil, (window + 1) * self.window - ngx.time()
    end
    return keys
end

-- An attempt that was not a failure does not count.
function limits:take_back(keys)
    for _, key in ipairs(keys) do
        self.dictionary:incr(key, -1, 0, self.window)
    end
end

return _M
