-- check(): only requests with a valid token that is allowed here go on. auth.lua documents the configuration.
--
-- | status | when                                                                  |
-- |--------|-----------------------------------------------------------------------|
-- | 400    | more than 1000 headers                                                |
-- | 401    | no token, or one that is not valid; WWW-Authenticate as in RFC 6750 §3 |
-- | 403    | the token is valid, and a rule or a scope does not allow the request  |
-- | 503    | the keys cannot be read, or fetched                                   |

local auth_keys = require "route_native.auth.keys"
local auth_token = require "route_native.auth.token_sources"
local claim_headers = require "route_native.core.claim_headers"
local claim_rules = require "route_native.auth.claim_rules"
local client = require "route_native.core.client"
local config = require "route_native.core.config"
local jwt = require "route_native.jwt"
local request = require "route_native.core.request"
local response = require "route_native.core.response"

local ngx = ngx

local FORBIDDEN = response.json("forbidden", "The access token does not allow this")

local _M = {}

local OWNER = "route_native.auth: check()"
local ROWS = config.rows(auth_keys.ROWS, auth_token.ROWS, claim_rules.ROWS, claim_headers.ROWS, {
    { "strip_token", config.boolean(), default = false },
    { "cors_preflight", config.boolean(), default = false },
    { "realm", config.text('^[^"\\]+$', "a text without quotes and backslashes") },
    { "policy", config.any("table"), default = {} },
})

function _M.read(given)
    local values = config.read(OWNER, ROWS, given)
    local policy, realm = values.policy, values.realm
    return {
        keys = auth_keys.open(OWNER, values),
        sources = auth_token.of(OWNER, values),
        rules = claim_rules.of(OWNER, values),
        headers = claim_headers.of(OWNER, values),
        strip = values.strip_token,
        preflight = values.cors_preflight,
        realm = realm and ('realm="%s"'):format(realm),
        policy = policy.handle and policy or auth_keys.try(OWNER, jwt.policy, policy),
    }
end

local function refuse(self, status, reason, attributes)
    auth_token.note_reason(reason)
    return response.challenge(status, attributes, self.realm, status == ngx.HTTP_FORBIDDEN and FORBIDDEN or nil)
end

function _M.run(self)
    if request.has_too_many_headers(request.current()) then
        return response.too_many_headers()
    end
    local headers = ngx.req.get_headers(0)
    claim_headers.clear(self.headers, headers)
    local token, trouble = auth_token.find(self.sources, headers)
    if self.strip then
        auth_token.remove(self.sources, headers)
    end
    if self.preflight and client.is_preflight() then
        return nil
    end
    local keys, why = self.keys()
    if not keys then
        return auth_keys.unavailable(why)
    end
    if not token and not trouble then
        return refuse(self, ngx.HTTP_UNAUTHORIZED, "token_missing")
    end
    local claims, header, is_ours
    if not trouble then
        auth_token.note_token(token)
        claims, header, is_ours = jwt.verify(token, keys, self.policy)
        trouble = not claims and header
    end
    if is_ours then
        auth_token.note_reason(trouble)
        return auth_keys.unavailable("a token could not be checked: " .. trouble)
    end
    if trouble then
        -- An empty token was sent, so it is not missing.
        trouble = trouble == "token_missing" and "token_malformed" or trouble
        return refuse(self, ngx.HTTP_UNAUTHORIZED, trouble, 'error="invalid_token"')
    end
    local allowed, lacks_scope = claim_rules.allow(self.rules, claims)
    if not allowed then
        local attributes = 'error="insufficient_scope"'
        if lacks_scope then
            attributes = ('%s, scope="%s"'):format(attributes, self.rules.scope)
        end
        return refuse(self, ngx.HTTP_FORBIDDEN, lacks_scope and "scope_missing" or "claim_not_allowed", attributes)
    end
    if not claim_headers.set(self.headers, claims) then
        return refuse(self, ngx.HTTP_FORBIDDEN, "claim_too_large", 'error="insufficient_scope"')
    end
    return claims, header
end

return _M
