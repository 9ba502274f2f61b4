-- Step 2: a master token for a service token, in one call for all who want the same at once.
--
-- Within a worker one request does it for the others (core/singleflight/worker.lua); between workers and instances a
-- lease in the store lets one go ahead, and the others see its result in the session.

local call = require "route_native.border.call"
local singleflight = require "route_native.core.singleflight.worker"
local record = require "route_native.border.record"

-- Longer than the call may take (conf/border.conf: 2 s to connect, 5 s for the answer).
local LEASE_SECONDS, WAIT_SECONDS = 15, 15
local FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.1

local _M = {}
local exchange = {}
exchange.__index = exchange

function _M.new(border)
    local settings = border.settings
    return setmetatable({ border = border, url = settings.auth_url .. settings.auth_path }, exchange)
end

-- Asks the auth service. Returns the token, or nil and "ended" (the master token is refused), "denied" (it is good, but
-- not for this service) or "unavailable".
local function ask(self, service, master_token)
    local answer, err = call.post(self.url, { service = service }, master_token)
    if answer and answer.status == 200 then
        local decoded = record.parse(answer.body)
        local tokens = decoded and record.service_tokens(decoded.service_tokens)
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

-- Waits until this request may ask. Returns "mine", or the token that another has fetched meanwhile, or nil and why.
local function wait_for_lease(self, lease, loaded, service, refused)
    local store, deadline, pause = self.border.store, ngx.now() + WAIT_SECONDS, FIRST_PAUSE
    repeat
        local added, err = store:add(lease, "1", LEASE_SECONDS)
        if added == nil then
            -- A store that is full still has the session; one that is down will say so below.
            self.border:store_failed("taking a lease", err)
            added = true
        end
        -- Whoever had the lease before has written its token before giving it up.
        local why = self.border.sessions:reload(loaded)
        local token = not why and loaded.record.service_tokens[service]
        if added and (why or token and token ~= refused) then
            store:delete(lease)
        end
        if why then
            return nil, why
        elseif token and token ~= refused then
            return token
        elseif added then
            return "mine"
        end
        ngx.sleep(pause)
        pause = math.min(pause * 2, LONGEST_PAUSE)
        ngx.update_time()
    until ngx.now() > deadline
    return nil, "unavailable"
end

local function fetch(self, loaded, service, refused)
    local border = self.border
    local lease = loaded.key .. ":" .. service
    local turn, why = wait_for_lease(self, lease, loaded, service, refused)
    if turn ~= "mine" then
        return turn, why
    end
    local token
    token, why = ask(self, service, loaded.record.master_token)
    if token then
        border.counters:add("service_token.fetched")
        -- A store that is full keeps the session that it has, and the token serves this request alone. But a session
        -- that has ended meanwhile has ended.
        if border.sessions:set_token(loaded, service, token) == "expired" then
            token, why = nil, "expired"
        end
    elseif refused and why ~= "ended" then
        -- There is no new one now, but the old one has ended.
        border.sessions:set_token(loaded, service, nil, refused)
    end
    border.store:delete(lease)
    return token, why
end

-- The token of a service for a session that has none, or had one that was `refused`. nil and "ended", "denied",
-- "expired" or "unavailable" otherwise.
function exchange:token(loaded, service, refused)
    -- Who was refused another token than those before must not get theirs.
    local key = loaded.key .. ":" .. service .. ":" .. (refused or "")
    local token, why = singleflight.run(key, WAIT_SECONDS, function() return fetch(self, loaded, service, refused) end)
    return token, (why == "timeout" or why == "failed") and "unavailable" or why
end

return _M
