-- Ends sessions: by the user (RP-Initiated Logout 1.0), and by the provider (Back-Channel and Front-Channel Logout).
-- The session of this gateway ends first, before anybody else is asked.

local access_log = require "route_native.core.access_log"
local answer = require "route_native.oidc.answer"
local client = require "route_native.core.client"
local client_auth = require "route_native.http.client_auth"
local hooks = require "route_native.oidc.hooks"
local jwt = require "route_native.jwt"
local login_body = require "route_native.core.login_body"
local response = require "route_native.core.response"
local revocation = require "route_native.revocation"
local session_id = require "route_native.session.id"

local ngx = ngx

local MAX_ARGUMENTS, MAX_BODY = 20, 65536
-- A longer hint does not fit into the request line of every provider. It then asks the user.
local MAX_HINT_BYTES = 6000
-- How long a logout token is remembered, in seconds: as long as its `iat` lets it be valid.
local REPLAY_SECONDS = 660
local EVENT = "http://schemas.openid.net/event/backchannel-logout"

local _M = {}

-- Revokes the tokens of a session at the provider (RFC 7009). Returns whether all are revoked. A failure is logged.
function _M.revoke_tokens(provider, record)
    local metadata = provider:metadata()
    local url = metadata and metadata.urls.revocation_endpoint
    local are_revoked = url ~= nil
    for _, hint in ipairs { "refresh_token", "access_token" } do
        local reply = url and record[hint]
            and provider:post(url, { { "token", record[hint] }, { "token_type_hint", hint } })
        if reply and reply.status ~= 200 then
            provider:log("the revocation endpoint", "status " .. reply.status)
        end
        are_revoked = are_revoked and (not record[hint] or reply ~= nil and reply.status == 200)
    end
    return are_revoked
end

-- Returns the URL where the provider ends its own session, or nil if it has none.
local function provider_logout(gate, provider, metadata, record)
    local url = metadata.urls.end_session_endpoint
    if not url or not provider.settings.provider_logout then
        return nil
    end
    local hint = provider.settings.id_token_hint and record.id_token
    local fields = {
        { "client_id", provider.settings.client_id },
        { "post_logout_redirect_uri", gate.logged_out_url or gate:absolute(gate.settings.logged_out_path) },
        { "id_token_hint", hint and #hint <= MAX_HINT_BYTES and hint or nil },
    }
    return url.text .. (url.text:find("?", 1, true) and "&" or "?") .. client_auth.form(fields)
end

-- Returns where a logout leads: to the provider, or to our page.
local function destination(gate, record)
    local provider = record and gate.providers[record.provider]
    local metadata = provider and provider:metadata()
    local own = gate.logged_out_url or gate.settings.logged_out_path
    if not metadata then
        return own
    elseif provider.settings.revoke_at_logout then
        _M.revoke_tokens(provider, record)
    end
    return provider_logout(gate, provider, metadata, record) or own
end

-- Answers the logout of a user.
function _M.logout(gate)
    local method = ngx.req.get_method()
    if method ~= "GET" and method ~= "POST" then
        ngx.header["Allow"] = "GET, POST"
        return answer.not_allowed()
    elseif client.is_cross_site(gate.settings.cookie_domain ~= nil, gate.public_origins) then
        return answer.cross_site()
    elseif method == "GET" and not client.is_navigation() then
        return answer.no_navigation()
    end
    local session, reason = gate.sessions:load()
    if reason == "unavailable" or not gate.sessions:destroy() then
        -- Keep the cookie, so that the user can try again: the session is still in the store.
        return answer.unavailable()
    end
    gate.cookies:clear_session()
    gate.counters:add("logout")
    hooks.run("on_logout", session and session.record)
    return answer.redirect(destination(gate, session and session.record))
end

-- Ends the sessions of a user or of one session at the provider, on all workers and instances. Returns false if that
-- could not be done.
local function end_sessions(gate, issuer, sid, sub)
    local name, value = sid and "sid" or "sub", sid or sub
    local count = gate.sessions:destroy_list(gate.list_of(name, issuer, value))
    -- Ends their open connections too.
    local number = not revocation.prepare() or revocation.revoke({ [name] = value, iss = issuer }, "oidc")
    return count ~= nil and number ~= nil
end

-- Returns the provider and the claims of a logout token (§2.6), or nil and a reason.
local function check_token(gate, token)
    local unchecked = jwt.decode_unverified(token) or {}
    for _, name in ipairs(gate.provider_names) do
        local provider = gate.providers[name]
        if unchecked.iss == provider.issuer or provider.decryption_key then
            local claims, reason, is_ours = provider:verify(token, provider.logout_policy)
            if claims then
                return provider, claims
            elseif is_ours then
                return nil, "unavailable"
            end
            access_log.reason(reason)
        end
    end
    return nil, "invalid"
end

local function is_text(value)
    return type(value) == "string" and #value > 0 and #value <= 255
end

-- Returns whether claims are those of a logout token: an ID token must not pass as one.
local function is_logout(claims)
    return type(claims.events) == "table" and type(claims.events[EVENT]) == "table" and claims.nonce == nil
        and is_text(claims.jti) and (is_text(claims.sid) or is_text(claims.sub))
        and (claims.sid == nil or is_text(claims.sid)) and (claims.sub == nil or is_text(claims.sub))
end

local INVALID = '{"error":"invalid_request"}\n'

-- Answers a back-channel logout. The provider may not learn more than that its request was wrong.
function _M.backchannel(gate)
    if ngx.req.get_method() ~= "POST" then
        ngx.header["Allow"] = "POST"
        return answer.not_allowed()
    end
    local body = login_body.read(MAX_BODY)
    local token = body and ngx.decode_args(body, MAX_ARGUMENTS).logout_token
    if type(token) ~= "string" then
        return response.finish(400, INVALID)
    end
    local provider, claims = check_token(gate, token)
    if claims == "unavailable" then
        return answer.unavailable()
    elseif not provider or not is_logout(claims) then
        return response.finish(400, INVALID)
    end
    local mark = gate.prefix .. "logout:" .. session_id.digest(provider.issuer .. " " .. claims.jti)
    local added, err = gate.store:add(mark, "1", REPLAY_SECONDS)
    if err then
        gate:store_failed("remembering a logout token", err)
        return answer.unavailable()
    elseif not added then
        return response.finish(400, INVALID)
    elseif not end_sessions(gate, provider.issuer, claims.sid, claims.sub) then
        -- The provider may send it again.
        gate.store:delete(mark)
        return answer.unavailable()
    end
    gate.counters:add("logout.backchannel")
    return response.finish(200, "", "text/plain")
end

-- Answers a front-channel logout: a frame in a page of the provider, which sends no cookie of ours.
function _M.frontchannel(gate)
    local arguments = ngx.req.get_uri_args(MAX_ARGUMENTS)
    local issuer, sid = arguments.iss, arguments.sid
    local is_known = false
    for _, provider in pairs(gate.providers) do
        is_known = is_known or provider.issuer == issuer
    end
    if ngx.req.get_method() ~= "GET" or not is_known or not is_text(sid) then
        return response.finish(400, INVALID)
    elseif not end_sessions(gate, issuer, sid) then
        return answer.unavailable()
    end
    gate.counters:add("logout.frontchannel")
    return response.finish(200, "", "text/html; charset=utf-8")
end

return _M
