-- Exchanges a master token for a service token, in one call for all requests that need it at once.
--
-- Within a worker, core/singleflight/worker.lua lets one request do it for the others. Between workers and instances,
-- session/lease.lua lets one go ahead, and the others read its token from the session.

local call = require "route_native.border.call"
local lease = require "route_native.session.lease"
local singleflight = require "route_native.core.singleflight.worker"
local record = require "route_native.border.record"

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

-- Fetches the token of a service, and stores it in the session. Returns what exchange:token() returns.
local function fetch(self, session, service, refused)
    local border = self.border
    local token, reason = ask(self, service, session.record.master_token)
    if token then
        border.counters:add("service_token.fetched")
        -- If the store is full, the session stays as it is and the token serves this request alone. If the session has
        -- ended meanwhile, the request must not pass.
        if border.sessions:set_token(session, service, token) == "expired" then
            return nil, "expired"
        end
    elseif refused and reason ~= "ended" then
        -- The refused token is useless even though there is no new one.
        border.sessions:set_token(session, service, nil, refused)
    end
    return token, reason
end

-- Returns a token of a service for a session that has none, or whose token was `refused`. Otherwise returns nil and
-- "ended", "denied", "expired" or "unavailable".
function exchange:token(session, service, refused)
    -- Requests whose refused tokens differ must not share a call: one could get the token that it was refused.
    local key = session.key .. ":" .. service .. ":" .. (refused or "")
    local function find(current)
        local token = current.service_tokens[service]
        return token ~= refused and token or nil
    end
    local token, reason = singleflight.run(key, lease.WAIT_SECONDS, function()
        return lease.run(self.border, session, service, find, function()
            return fetch(self, session, service, refused)
        end)
    end)
    return token, (reason == "timeout" or reason == "failed") and "unavailable" or reason
end

return _M
