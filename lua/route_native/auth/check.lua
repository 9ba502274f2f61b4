-- check(): passes a request only if its token is valid and its claims allow it. auth.lua documents the configuration.
--
-- | status | when                                                                |
-- |--------|---------------------------------------------------------------------|
-- | 400    | more than 1000 headers                                              |
-- | 401    | no token or no valid one; WWW-Authenticate is that of RFC 6750 §3   |
-- | 403    | the token is valid, but a rule or a scope does not allow the request |
-- | 503    | the keys cannot be read or fetched; no room for another used proof  |

local access_log = require "route_native.core.access_log"
local auth_keys = require "route_native.auth.keys"
local token_sources = require "route_native.auth.token_sources"
local claim_headers = require "route_native.core.claim_headers"
local claim_rules = require "route_native.auth.claim_rules"
local client = require "route_native.core.client"
local config = require "route_native.core.config"
local connections = require "route_native.control.connections"
local dpop = require "route_native.bound.dpop"
local holder = require "route_native.bound.holder"
local jwt = require "route_native.jwt"
local kept = require "route_native.core.kept"
local metrics = require "route_native.core.metrics"
local request = require "route_native.core.request"
local response = require "route_native.core.response"
local revoked = require "route_native.core.revoked"
local statuses = require "route_native.core.status"

local ngx = ngx
local OK = statuses.OK

local KEY_UNREADABLE = statuses.name(statuses.KEY_UNREADABLE)
local FORBIDDEN = response.json("forbidden", "The access token does not allow this")

local _M = {}

local OWNER = "route_native.auth: check()"
local ROWS = config.rows(auth_keys.ROWS, token_sources.ROWS, claim_rules.ROWS, claim_headers.ROWS, holder.ROWS,
    {
    { "strip_token", config.boolean(), default = false },
    { "cors_preflight", config.boolean(), default = false },
    { "realm", config.text('^[^"\\]+$', "a text without quotes and backslashes") },
    { "policy", config.any("table"), default = {} },
})

-- Reads a configuration. Returns what run() takes.
function _M.read(input)
    local values = config.read(OWNER, ROWS, input)
    local policy, realm = values.policy, values.realm
    policy = policy.handle and policy or auth_keys.try(OWNER, jwt.policy, policy)
    local get_keys = auth_keys.open(OWNER, values)
    auth_keys.check_policy(OWNER, get_keys(), policy)
    local bound = holder.of(OWNER, values)
    return {
        keys = get_keys,
        bound = bound,
        sources = token_sources.of(OWNER, values, bound and bound.dpop),
        rules = claim_rules.of(OWNER, values),
        headers = claim_headers.of(OWNER, values),
        strip = values.strip_token,
        changes_headers = values.strip_token or next(values.headers) ~= nil,
        preflight = values.cors_preflight,
        realm = realm and ('realm="%s"'):format(realm),
        policy = policy,
    }
end

-- Ends the request with a challenge, and notes the reason for the access log.
local function refuse(self, status, reason, attributes, is_dpop)
    access_log.reason(reason)
    metrics.refused("auth", status, reason)
    local challenges = self.bound and self.bound:challenges(attributes, self.realm, is_dpop)
    return response.challenge(status, attributes, self.realm, status == ngx.HTTP_FORBIDDEN and FORBIDDEN or nil,
        challenges)
end

-- Ends the request of a sender who has not shown to be the token's holder.
local function refuse_sender(self, status, is_dpop)
    local reason = statuses.name(status)
    if not statuses.is_token(status) then
        access_log.reason(reason)
        metrics.refused("auth", 503, reason)
        return auth_keys.unavailable("the holder of a token could not be checked: " .. reason)
    end
    return refuse(self, ngx.HTTP_UNAUTHORIZED, reason, holder.attributes(status), is_dpop)
end

-- Returns what this configuration has decided about the request and its token before, or nil.
local function decided(self, token)
    local before = kept.find()
    local verdict = before and before.verdicts[self]
    return verdict and verdict.token == token and verdict
end

-- Returns whether two tokens name the same user.
local function is_same_user(claims, others)
    return type(claims.sub) == "string" and claims.sub == others.sub and claims.iss == others.iss
end

-- Verifies the values of one cookie. Returns the claims, the header and the first valid token. Browsers send a cookie
-- of a longer path, or an older one, beside the current one. Two valid tokens of different users are refused: a sibling
-- host can set a cookie, and must not choose who is logged in.
local function verify_several(tokens, keys, policy)
    local chosen, chosen_header, chosen_token, reason
    for _, token in ipairs(tokens) do
        local claims, header, is_ours = jwt.verify(token, keys, policy)
        if is_ours then
            return nil, header, token, true
        elseif claims and chosen and not is_same_user(claims, chosen) then
            return nil, "token_ambiguous", token, false
        elseif claims and not chosen then
            chosen, chosen_header, chosen_token = claims, header, token
        elseif not claims then
            reason = reason or header
        end
    end
    if chosen then
        return chosen, chosen_header, chosen_token
    end
    return nil, reason, tokens[1], false
end

-- Returns the claims and the header of the request's token, nothing for a preflight, or ends the request.
function _M.run(self)
    if request.has_too_many_headers(request.current()) then
        metrics.refused("auth", ngx.HTTP_BAD_REQUEST, "too_many_headers")
        return response.too_many_headers()
    end
    if self.changes_headers and ngx.is_subrequest and ngx.get_phase() == "content" then
        -- nginx shares the headers of the request with an auth_request. The upstream would get the client's X-User too.
        config.fail(OWNER, "cannot set or remove headers in the content phase of a subrequest: leave out headers and "
            .. "strip_token, and use auth_request_set")
    end
    local headers = ngx.req.get_headers(0)
    claim_headers.clear(self.headers, headers)
    local token, reason, several, is_dpop = token_sources.find(self.sources, headers)
    if self.strip then
        token_sources.remove(self.sources, headers)
        dpop.remove(headers)
    end
    local sent = several and table.concat(several, ",") or token
    local verdict = sent and decided(self, sent)
    if verdict then
        claim_headers.set(self.headers, verdict.claims)
        return verdict.claims, verdict.header
    elseif self.preflight and client.is_preflight() then
        return nil
    end
    revoked.prepare()
    local keys, err = self.keys()
    if not keys then
        metrics.refused("auth", ngx.HTTP_SERVICE_UNAVAILABLE, KEY_UNREADABLE)
        return auth_keys.unavailable(err)
    end
    if not token and not reason then
        return refuse(self, ngx.HTTP_UNAUTHORIZED, "token_missing")
    end
    local claims, header, is_ours
    if not reason then
        if several then
            claims, header, token, is_ours = verify_several(several, keys, self.policy)
        else
            claims, header, is_ours = jwt.verify(token, keys, self.policy)
        end
        access_log.token(token)
        reason = not claims and header
    end
    if is_ours then
        access_log.reason(reason)
        metrics.refused("auth", ngx.HTTP_SERVICE_UNAVAILABLE, reason)
        return auth_keys.unavailable("a token could not be checked: " .. reason)
    end
    if reason then
        -- The library calls an empty token missing, but the client did send one.
        reason = reason == "token_missing" and "token_malformed" or reason
        return refuse(self, ngx.HTTP_UNAUTHORIZED, reason, 'error="invalid_token"', is_dpop)
    end
    local status = self.bound and self.bound:confirm(headers, token, claims.cnf, is_dpop) or OK
    if status ~= OK then
        return refuse_sender(self, status, is_dpop)
    end
    local allowed, lacks_scope = claim_rules.allow(self.rules, claims)
    if not allowed then
        local attributes = 'error="insufficient_scope"'
        if lacks_scope then
            attributes = ('%s, scope="%s"'):format(attributes, self.rules.scope)
        end
        return refuse(self, ngx.HTTP_FORBIDDEN, lacks_scope and "scope_missing" or "claim_not_allowed", attributes,
            is_dpop)
    end
    if not claim_headers.set(self.headers, claims) then
        return refuse(self, ngx.HTTP_FORBIDDEN, "claim_too_large", 'error="insufficient_scope"', is_dpop)
    end
    kept.open().verdicts[self] = { token = sent, claims = claims, header = header }
    metrics.passed("auth", request.current())
    connections.keep(function() return jwt.identity_of(token, keys, self.policy) end)
    return claims, header
end

return _M
