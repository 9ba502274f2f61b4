-- What a provider says about itself (OpenID Connect Discovery, RFC 8414), and the requests to it.

local client_auth = require "route_native.http.client_auth"
local config = require "route_native.core.config"
local json = require "route_native.oidc.json"
local jwks = require "route_native.jwt.jwks"
local jwt = require "route_native.jwt"
local keyring = require "route_native.jwt.keyring"
local outbound = require "route_native.http.outbound"
local owner = require("route_native.oidc.settings").OWNER
local published = require "route_native.http.published"
local statuses = require "route_native.core.status"

local ngx = ngx

local DISCOVERY = "/.well-known/openid-configuration"
-- The dictionary for metadata and keys.
local CACHE = "oidc_cache"
local FORM, JSON = "application/x-www-form-urlencoded", "application/json"
-- How soon metadata and keys may be fetched again, in seconds. A token with an unknown `kid` comes from the provider,
-- which has just changed its keys; only logout tokens may come from anybody.
local COOLDOWN, KEY_COOLDOWN = 30, 1

local _M = { CACHE = CACHE }
local provider = {}
provider.__index = provider

-- The endpoints, by their names in the metadata, and whether each must be there.
local ENDPOINTS = {
    authorization_endpoint = true, token_endpoint = true, jwks_uri = true, userinfo_endpoint = false,
    end_session_endpoint = false, revocation_endpoint = false, pushed_authorization_request_endpoint = false,
}

-- Returns the URL of an endpoint, or nil and an error. Where the issuer has TLS, each endpoint has it.
local function endpoint(self, metadata, name, is_needed)
    local text = metadata[name]
    if text == nil and (not is_needed or name == "jwks_uri" and self.settings.uses_hmac) then
        return nil
    end
    local url, err = outbound.parse_url(type(text) == "string" and text or "")
    if not url then
        return nil, "its " .. name .. " " .. err
    elseif url.scheme ~= "https" and self.settings.issuer_url.scheme == "https" then
        return nil, "its " .. name .. " has no TLS"
    end
    return url
end

-- Returns the keys of ID tokens.
local function keys_of(self, url)
    local settings = self.settings
    if settings.uses_hmac then
        return assert(keyring.of_text(keyring.SHORT_SECRET, settings.client_secret))
    end
    return jwks.new({ url = url.text, verify_ssl = settings.verify_ssl, cache_name = CACHE, cooldown = KEY_COOLDOWN,
        max_age = settings.jwks_max_age, stale = settings.metadata_stale }, true)
end

-- Returns what is used of metadata, or nil and an error.
local function compile(self, metadata)
    if metadata.issuer ~= self.settings.issuer then
        return nil, "its issuer is not the configured one"
    end
    local compiled = {
        document = metadata, urls = {}, sends_iss = metadata.authorization_response_iss_parameter_supported == true,
        frontchannel_session = metadata.frontchannel_logout_session_supported == true,
    }
    for name, is_needed in pairs(ENDPOINTS) do
        local url, err = endpoint(self, metadata, name, is_needed)
        if err then
            return nil, err
        end
        compiled.urls[name] = url
    end
    compiled.keys = keys_of(self, compiled.urls.jwks_uri)
    return compiled
end

-- Returns the document at the discovery URL.
local function document_of(self)
    local settings = self.settings
    local text = settings.discovery_url or settings.issuer:gsub("/$", "") .. DISCOVERY
    local url, err = outbound.parse_url(text)
    if not url then
        config.fail(owner, 'the field "providers.%s.discovery_url" %s', settings.name, err)
    end
    return published.new {
        id = "oidc " .. settings.issuer .. " " .. settings.name .. " ", what = "the metadata", name = url.shown,
        target = assert(outbound.target { url = url, verify_ssl = settings.verify_ssl, accept = JSON }),
        cache_name = CACHE, cooldown = COOLDOWN, max_age = settings.metadata_max_age, stale = settings.metadata_stale,
        read = function(body)
            local metadata = json.parse(body)
            if not metadata then
                return nil, "it is no JSON object"
            end
            return compile(self, metadata)
        end,
    }
end

-- Returns the provider of settings. A mistake raises an error of one sentence.
function _M.new(settings)
    local self = setmetatable({ settings = settings, name = settings.name, issuer = settings.issuer }, provider)
    self.client = client_auth.new {
        method = settings.method, client_id = settings.client_id, client_secret = settings.client_secret,
        client_key = settings.client_key and jwt.key(settings.client_key), client_key_id = settings.client_key_id,
        client_algorithm = settings.client_algorithm,
    }
    self.policy = jwt.policy {
        issuer = settings.issuer, audience = settings.client_id, algorithms = settings.id_token_algorithms,
        leeway = settings.leeway, required = { "sub", "iat" },
    }
    -- A logout token needs no `exp` (Back-Channel Logout 1.0 §2.4); its `iat` bounds its life.
    self.logout_policy = jwt.policy {
        issuer = settings.issuer, audience = settings.client_id, algorithms = settings.id_token_algorithms,
        leeway = settings.leeway, required = { "iat", "jti", "events" }, require_exp = false, max_age = 300,
    }
    -- A signed UserInfo answer has `iss` and `aud`, and need not end (Core §5.3.2).
    self.userinfo_policy = jwt.policy {
        issuer = settings.issuer, audience = settings.client_id, algorithms = settings.id_token_algorithms,
        leeway = settings.leeway, required = { "sub" }, require_exp = false,
    }
    self.decryption_key = settings.id_token_key and jwt.encryption_key(settings.id_token_key)
    if settings.metadata then
        local metadata, err = compile(self, settings.metadata)
        self.fixed = metadata or config.fail(owner, 'the field "providers.%s.metadata" is not right: %s',
            settings.name, err)
    else
        self.document = document_of(self)
    end
    return self
end

-- Returns what the provider says about itself, or nil and the status.
function provider:metadata()
    if self.fixed then
        return self.fixed
    end
    return self.document:current()
end

-- Logs a failed request. The text holds no token and no secret.
function provider:log(what, err)
    ngx.log(ngx.ERR, "route_native: oidc: the provider ", self.name, ": ", what, ": ", err)
end

-- Returns whether requests to the provider may be sent from a timer, and so outlive their request.
function provider.may_use_timer()
    return outbound.may_use_timer {}
end

-- Asks a target. Returns the answer, or nil and the status if there is none, which is logged.
local function ask(self, target, body)
    local answer, err, status = outbound.ask(outbound.target(target), body)
    if not answer then
        self:log(target.url.shown, err)
        return nil, status
    end
    return answer
end

-- Posts a form to an endpoint as the client. Returns the answer, or nil and the status if there is none.
function provider:post(url, fields)
    return ask(self, {
        url = url, verify_ssl = self.settings.verify_ssl, accept = JSON, content_type = FORM,
        authorization = client_auth.authorization(self.client),
    }, client_auth.form(client_auth.add(self.client, fields, url.text)))
end

-- Asks an endpoint with an access token. Returns the answer, or nil and the status if there is none.
function provider:get(url, access_token, accept)
    return ask(self, {
        url = url, verify_ssl = self.settings.verify_ssl, accept = accept, authorization = "Bearer " .. access_token,
    })
end

-- Returns the claims and the header of a token that this provider signed for this client. With a key for them, ID
-- tokens must be encrypted, and others may be. Returns nil, the reason, and whether the provider or this server caused
-- it.
function provider:verify(token, policy)
    local metadata, status = self:metadata()
    if not metadata then
        return nil, statuses.name(status), true
    end
    local _, dots = token:gsub("%.", "")
    if self.decryption_key and (dots == 4 or policy == self.policy) then
        local plaintext, reason = jwt.decrypt(token, self.decryption_key)
        if not plaintext then
            return nil, reason, false
        end
        token = plaintext
    end
    return jwt.verify(token, metadata.keys, policy)
end

return _M
