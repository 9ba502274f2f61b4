-- Limits failed logins per address and per account. The limits hold for one nginx, not for all instances.

local rate_limit = require "route_native.core.rate_limit"

local _M = {}

-- Returns the limits. They have a dictionary of their own. Configurations of 0.1 lack it, so the limits then share
-- border_state with the counters and the copy of the keys, which an attempt never evicts.
function _M.new(settings)
    local name = ngx.shared.border_logins and "border_logins" or "border_state"
    return rate_limit.new(name, settings.login_failures_per_account, settings.login_failures_per_address,
        settings.login_window)
end

return _M
