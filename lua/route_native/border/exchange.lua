-- Exchanges a master token for a service token, in one call for all requests that need it at once.
--
-- Within a worker, core/singleflight/worker.lua lets one request do it for the others. Between workers and instances, a
-- lease in the store lets one go ahead, and the others read its token from the session.

local call = require "route_native.border.call"
local singleflight = require "route_native.core.singleflight.worker"
local record = require "route_native.border.record"

-- Longer than the call may take (conf/border.conf: 2 s to connect, 5 s for the answer).
local LEASE_SECONDS, WAIT_SECONDS = 15, 15
local MIN_PAUSE, MAX_PAUSE = 0.005, 0.1

local _M = {}
local exchange = {}
exchange.__index = exchange

function _M.new(border)
    local settings = border.settings
    return setmetatable({ border = border, url = settings.auth_url .. settings.auth_path }, exchange)
end

-- Asks the auth service. Returns the token, or nil and "ended" (it refuses the master token), "denied" (it refuses this
-- service) or "unavailable".
local function ask(self, service, master_token)
    local answer, err = call.post(self.url, { service = service }, master_token)
    if answer and answer.status == 200 then
        local content = record.parse(answer.body)
        local tokens = content and record.service_tokens(content.service_tokens)
        if tokens and tokens[service] then
            return tokens[service]
        end
        err = "no service token in its answer"
    elseif answer and answer.status == 401 then
        return nil, "ended"
    elseif answer and answer.status == 403 then
        return nil, "denied"
    end
    self.border.counters:add("auth.error")
    ngx.log(ngx.ERR, "route_native: border: the auth service: ", err or "status " .. answer.status)
    return nil, "unavailable"
end

-- Waits for the lease, or for the token that its holder fetches. Returns true when this request holds the lease;
-- otherwise false, the token, and without a token the reason.
local function wait_for_lease(self, lease, session, service, refused)
    local store, deadline, pause = self.border.store, ngx.now() + WAIT_SECONDS, MIN_PAUSE
    repeat
        local added, err = store:add(lease, "1", LEASE_SECONDS)
        if added == nil then
            -- A full store still has the session. If the store is down, reload() fails below.
            self.border:store_failed("taking a lease", err)
            added = true
        end
        -- The previous holder stored its token before it released the lease.
        local reason = self.border.sessions:reload(session)
        local token = not reason and session.record.service_tokens[service]
        if added and (reason or token and token ~= refused) then
            store:delete(lease)
        end
        if reason then
            return false, nil, reason
        elseif token and token ~= refused then
            return false, token
        elseif added then
            return true
        end
        ngx.sleep(pause)
        pause = math.min(pause * 2, MAX_PAUSE)
        ngx.update_time()
    until ngx.now() > deadline
    return false, nil, "unavailable"
end

-- Fetches the token of a service under the lease, and stores it in the session. Returns what exchange:token() returns.
local function fetch(self, session, service, refused)
    local border = self.border
    local lease = session.key .. ":" .. service
    local has_lease, token, reason = wait_for_lease(self, lease, session, service, refused)
    if not has_lease then
        return token, reason
    end
    token, reason = ask(self, service, session.record.master_token)
    if token then
        border.counters:add("service_token.fetched")
        -- If the store is full, the session stays as it is and the token serves this request alone. If the session has
        -- ended meanwhile, the request must not pass.
        if border.sessions:set_token(session, service, token) == "expired" then
            token, reason = nil, "expired"
        end
    elseif refused and reason ~= "ended" then
        -- The refused token is useless even though there is no new one.
        border.sessions:set_token(session, service, nil, refused)
    end
    border.store:delete(lease)
    return token, reason
end

-- Returns a token of a service for a session that has none, or whose token was `refused`. Otherwise returns nil and
-- "ended", "denied", "expired" or "unavailable".
function exchange:token(session, service, refused)
    -- Requests whose refused tokens differ must not share a call: one could get the token that it was refused.
    local key = session.key .. ":" .. service .. ":" .. (refused or "")
    local token, reason = singleflight.run(key, WAIT_SECONDS, function()
        return fetch(self, session, service, refused)
    end)
    return token, (reason == "timeout" or reason == "failed") and "unavailable" or reason
end

return _M
