-- Refreshes the access token of a session before it ends, once for all workers and instances: a provider that rotates
-- refresh tokens takes the second use of one for theft, and ends the login.
--
-- Within a worker, core/singleflight/worker.lua lets one request do it for the others, and session/lease.lua between
-- workers and instances. The session is the place of the result. When an answer is lost, the next refresh is refused
-- and the user logs in again. When the provider does not answer, a mark in the store lets no request ask for a while.

local hooks = require "route_native.oidc.hooks"
local lease = require "route_native.session.lease"
local singleflight = require "route_native.core.singleflight.worker"
local tokens_of = require "route_native.oidc.tokens"

local ngx = ngx

-- How long nobody asks a provider that has not answered, in seconds.
local PAUSE_SECONDS = 5

local _M = {}

local function is_due(gate, record)
    local provider = gate.providers[record.provider]
    return record.expires_at ~= nil and ngx.time() >= record.expires_at - provider.settings.refresh_before
end

-- Returns the tokens that the provider gives for the refresh token, or nil and "ended" or "unavailable".
local function ask(provider, record)
    local tokens, status = tokens_of.ask(provider, {
        { "grant_type", "refresh_token" }, { "refresh_token", record.refresh_token },
    })
    if not tokens then
        return nil, status == "refused" and "ended" or "unavailable"
    elseif not tokens.id_token then
        return tokens
    end
    -- A new ID token must be about the same user (OpenID Connect Core 12.2).
    local claims, reason, is_ours = tokens_of.check(provider, tokens, nil)
    if claims and claims.sub == record.sub then
        return tokens
    end
    provider:log("a refreshed ID token", reason or "another user")
    return nil, is_ours and "unavailable" or "ended"
end

-- Refreshes under the lease. Returns true, or nil and "ended", "expired" or "unavailable".
local function refresh(gate, session)
    local tokens, reason = ask(gate.providers[session.record.provider], session.record)
    if not tokens then
        if reason == "ended" then
            gate.counters:add("refresh.refused")
            gate.sessions:destroy_id(session.id)
        else
            gate.counters:add("refresh.failed")
            gate.store:set(session.key .. ":pause", "1", PAUSE_SECONDS)
        end
        return nil, reason
    end
    gate.counters:add("refresh.done")
    hooks.run("on_regenerated", tokens)
    reason = gate.sessions:change(session, function(record)
        record.access_token, record.expires_at = tokens.access_token, tokens.expires_at
        record.refresh_token = tokens.refresh_token or record.refresh_token
        record.id_token = tokens.id_token or record.id_token
    end)
    return reason == nil or nil, reason
end

-- Refreshes, unless another request has done so or the provider has just failed.
local function refresh_once(gate, session)
    if gate.store:get(session.key .. ":pause") then
        return nil, "unavailable"
    end
    return lease.run(gate, session, "refresh", function(record)
        return not is_due(gate, record) and true or nil
    end, function()
        return refresh(gate, session)
    end)
end

-- Makes sure that the access token of a session is current. Returns nil; or "ended" if the provider has ended the
-- session, or "unavailable" if the token has ended and there is no new one. `needs_token` tells that the request sends
-- the token on: without that, an ended one does no harm.
function _M.run(gate, session, needs_token)
    local record = session.record
    if not is_due(gate, record) then
        return nil
    elseif record.refresh_token and not gate.never_refreshes then
        local in_timer = gate.providers[record.provider].may_use_timer() and singleflight.in_timer or nil
        local key = session.key .. ":refresh"
        -- The job has a session of its own, because it may outlive this request.
        local own = { id = session.id, key = session.key, age = session.age, text = session.text, record = record }
        local done, reason = singleflight.run(key, lease.WAIT_SECONDS, function() return refresh_once(gate, own) end,
            in_timer)
        if reason == "ended" or reason == "expired" then
            return "ended"
        elseif done then
            local failure = gate.sessions:reload(session)
            return failure == "expired" and "ended" or failure
        end
    end
    if needs_token and ngx.time() >= record.expires_at then
        return record.refresh_token and not gate.never_refreshes and "unavailable" or "ended"
    end
    return nil
end

return _M
