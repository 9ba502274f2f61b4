-- Decides about each request to a protected location.
--
--     a session that the policy accepts   ──► pass, with claims as headers
--     a session that is too weak          ──► log in again for the acr or the age of the policy (RFC 9470)
--     no session                          ──► a page goes to the provider, a script gets 401

local access_log = require "route_native.core.access_log"
local answer = require "route_native.oidc.answer"
local claim_headers = require "route_native.core.claim_headers"
local client = require "route_native.core.client"
local connections = require "route_native.control.connections"
local forward_auth = require "route_native.core.forward_auth"
local login = require "route_native.oidc.login"
local metrics = require "route_native.core.metrics"
local refresh = require "route_native.oidc.refresh"
local request = require "route_native.core.request"
local response = require "route_native.core.response"
local tokens_of = require "route_native.oidc.tokens"

local ngx = ngx

local _M = {}

-- Returns the attributes of the challenge that says what a session lacks.
local function lacking(policy)
    local attributes = { 'error="insufficient_user_authentication"' }
    if policy.acr then
        attributes[#attributes + 1] = 'acr_values="' .. table.concat(policy.acr, " ") .. '"'
    end
    if policy.max_age then
        attributes[#attributes + 1] = "max_age=" .. policy.max_age
    end
    return table.concat(attributes, ", ")
end

-- Ends a request whose session is weaker than the policy asks for. A script learns by the challenge what is missing.
local function step_up(gate, policy, session, reason)
    access_log.reason(reason)
    gate.counters:add("session.weak")
    metrics.refused("oidc", 401, reason)
    if client.wants_page() and (ngx.req.get_method() == "GET" or ngx.req.get_method() == "HEAD")
        and policy.unauthenticated == "login" then
        local provider = gate.providers[policy.provider or session.record.provider]
        return login.begin(gate, provider, ngx.var.request_uri, policy)
    end
    return response.challenge(401, lacking(policy))
end

-- Returns the session of the request if a policy accepts it. Otherwise returns nil, the reason, and the session if that
-- is only too weak. `needs_token` tells that a program uses the access token.
function _M.find(gate, policy, needs_token)
    local session, reason = gate.sessions:load()
    if not session then
        return nil, reason
    end
    local record = session.record
    local provider = gate.providers[record.provider]
    if not provider or policy.provider and policy.provider ~= record.provider then
        return nil, "expired"
    end
    reason = refresh.run(gate, session, policy.access_token or needs_token)
    if reason then
        return nil, reason
    end
    record = session.record
    reason = tokens_of.weakness(record, policy, ngx.time(), provider.settings.leeway)
    if reason then
        return nil, reason, session
    end
    return session
end

-- Tells the upstream who the user is. Returns false when a claim is too large for a header.
local function tell_upstream(policy, record)
    if policy.access_token then
        ngx.req.set_header("Authorization", "Bearer " .. record.access_token)
    end
    return claim_headers.set(policy.claim_headers, record.claims)
end

-- Removes what the client sent under the names of our headers.
local function clear(policy)
    claim_headers.clear(policy.claim_headers, ngx.req.get_headers(0))
    if policy.access_token then
        ngx.req.clear_header("Authorization")
    end
end

-- Runs in the access phase. Returns the session's record if the request may pass; nil if it passes without a session.
function _M.access(gate, policy)
    local endpoint = gate.endpoints[ngx.var.uri]
    if endpoint then
        return endpoint(gate)
    elseif request.has_too_many_headers(request.current()) then
        return response.too_many_headers()
    end
    clear(policy)
    local session, reason, weak = _M.find(gate, policy)
    if weak then
        return step_up(gate, policy, weak, reason)
    elseif not session and policy.unauthenticated == "pass" and reason ~= "unavailable" then
        ngx.var.oidc_cookie = gate.cookies:for_upstream()
        return nil
    elseif not session then
        return login.require(gate, policy, reason)
    elseif not tell_upstream(policy, session.record) then
        access_log.reason("claim_too_large")
        metrics.refused("oidc", 403, "claim_too_large")
        return answer.forbidden()
    end
    gate.sessions:extend(session)
    connections.keep(session.record.identity)
    ngx.var.oidc_cookie = gate.cookies:for_upstream()
    metrics.passed("oidc", request.current())
    return session.record
end

-- Answers another proxy that asks whether a request may pass.
function _M.forward(gate, policy)
    if request.has_too_many_headers(request.current()) then
        return response.too_many_headers()
    end
    local session, reason, weak = _M.find(gate, policy)
    if session then
        gate.sessions:extend(session)
        local token = policy.access_token and { Authorization = "Bearer " .. session.record.access_token } or nil
        return forward_auth.allow(policy.claim_headers, session.record.claims, token)
    end
    access_log.reason(weak and reason or "session_" .. reason)
    gate.counters:add(weak and "session.weak" or "session." .. reason)
    if reason == "unavailable" then
        return answer.unavailable()
    elseif policy.unauthenticated == "pass" and not weak then
        return forward_auth.allow(policy.claim_headers, {})
    elseif weak then
        ngx.header["WWW-Authenticate"] = "Bearer " .. lacking(policy)
    end
    local target = gate:return_target(forward_auth.original_url())
    local provider = weak and weak.record.provider or policy.provider
    return forward_auth.log_in(policy.unauthenticated ~= "refuse"
        and gate:absolute(login.path(gate, target, provider, policy.name)) or nil)
end

return _M
