-- Limits on failed logins, per address and per account. They hold for one nginx.

local rate_limit = require "route_native.core.rate_limit"

local _M = {}

-- The limits have a dictionary of their own. Configurations of 0.1 have none: then they lie beside the counters and
-- the copy of the keys, which are there from the start and are never evicted for an attempt.
function _M.new(settings)
    local name = ngx.shared.border_logins and "border_logins" or "border_state"
    return rate_limit.new(name, settings.login_failures_per_account, settings.login_failures_per_address,
        settings.login_window)
end

return _M
