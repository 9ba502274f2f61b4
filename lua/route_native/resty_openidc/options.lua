-- Reads the options of lua-resty-openidc, and makes gates (oidc/gate.lua) of them. docs/migrate-openidc.md lists them.

local cjson = require "cjson.safe"
local client = require "route_native.core.client"
local gates = require "route_native.oidc.gate"
local lrucache = require "resty.lrucache"
local session_id = require "route_native.session.id"
local settings = require "route_native.oidc.settings"

local concat, sort = table.concat, table.sort

-- The cached configurations. Only a program that generates configurations has more.
local MAX_CACHED = 64
local SUFFIX = "/.well-known/openid-configuration"
-- Below this path are our endpoints that a program of lua-resty-openidc does not have.
local OWN = "/.route_native/openidc/"
local MAX_LEEWAY = 300

local _M = {}

-- Options that would make a program less safe, or that cannot be done here, and why they are refused.
local REFUSED = {
    accept_none_alg = "accept_none_alg is refused: everybody could sign",
    accept_unsupported_alg = "accept_unsupported_alg is refused: a token that is not verified proves nothing",
    proxy_opts = "proxy_opts is not supported: let an upstream block or the network reach the provider",
    http_request_decorator = "http_request_decorator is not supported: requests to the provider are fixed",
}

-- Returns why options are refused, or nil.
local function refusal(opts)
    for name, sentence in pairs(REFUSED) do
        if opts[name] then
            return "route_native.resty_openidc: " .. sentence
        end
    end
    local method = opts.token_endpoint_auth_method
    if method == "client_secret_jwt" then
        return "route_native.resty_openidc: client_secret_jwt is not supported: use private_key_jwt"
    end
end

-- Returns a text that is equal for equal values. Functions are no part of it.
local function canonical(value)
    if type(value) ~= "table" then
        return type(value) .. ":" .. #tostring(value) .. ":" .. tostring(value)
    end
    local parts = {}
    for name, member in pairs(value) do
        if type(member) ~= "function" and type(member) ~= "userdata" then
            parts[#parts + 1] = canonical(name) .. "=" .. canonical(member)
        end
    end
    sort(parts)
    return "{" .. concat(parts, ",") .. "}"
end
_M.canonical = canonical

-- Returns the issuer of the option `discovery`, and the metadata if that is a table.
local function issuer_of(discovery)
    if type(discovery) == "table" then
        return discovery.issuer, discovery
    elseif type(discovery) ~= "string" then
        return nil
    end
    return (discovery:gsub(SUFFIX:gsub("%p", "%%%0") .. "$", ""))
end

local function is_on(value)
    return value == true or value == "yes"
end

local function provider_of(opts)
    local issuer, metadata = issuer_of(opts.discovery)
    local params = {}
    for name, value in pairs(opts.authorization_params or {}) do
        params[name] = tostring(value)
    end
    params.prompt, params.display = opts.prompt or params.prompt, opts.display or params.display
    return {
        issuer = opts.issuer or issuer, metadata = metadata,
        discovery_url = type(opts.discovery) == "string" and opts.discovery or nil,
        client_id = opts.client_id, client_secret = opts.client_secret,
        client_key = opts.client_rsa_private_key, client_key_id = opts.client_rsa_private_key_id,
        client_algorithm = opts.client_rsa_private_key and "RS256" or nil,
        token_endpoint_auth_method = opts.token_endpoint_auth_method,
        scope = opts.scope or "openid email profile",
        response_mode = opts.response_mode, authorization_params = params,
        verify_ssl = opts.ssl_verify == nil or is_on(opts.ssl_verify),
        id_token_algorithms = opts.token_signing_alg_values_expected,
        leeway = math.min(opts.iat_slack or 120, MAX_LEEWAY),
        userinfo = not opts.session_contents or opts.session_contents.user == true,
        refresh_before = opts.access_token_expires_leeway or 0,
        metadata_max_age = opts.discovery_expires_in, jwks_max_age = opts.jwk_expires_in,
        pushed_requests = opts.use_par == true,
        revoke_at_logout = opts.revoke_tokens_on_logout,
        id_token_hint = opts.redirect_after_logout_with_id_token_hint ~= false,
    }
end

-- Splits a redirect URI. Returns its path, and its origin if it is a URL.
local function split(uri)
    local origin, path = uri:match("^(%a+://[^/?#]+)([^?#]*)")
    return origin and path or uri, origin
end

-- Returns the settings of options. With `is_secure`, the cookies are for TLS alone.
local function settings_of(opts, session_opts, uri, is_secure)
    local path, origin = split(uri)
    local after = opts.redirect_after_logout_uri
    local input = {
        providers = { id = provider_of(opts) }, callback_path = path, public_url = origin,
        logout_path = opts.logout_path or OWN .. "logout", login_path = OWN .. "login",
        backchannel_logout_path = OWN .. "backchannel-logout", frontchannel_logout_path = OWN .. "frontchannel-logout",
        logged_out_path = after and after:find("^/") and after or nil,
        cookie_secure = is_secure, behind_tls = is_secure,
    }
    for name, value in pairs(session_opts or {}) do
        input[name] = value
    end
    local issuer = input.providers.id.issuer
    input.name = input.name or "openidc-"
        .. session_id.digest(tostring(issuer) .. " " .. tostring(opts.client_id)):sub(1, 16)
    return settings.read(input), after
end

local cached = assert(lrucache.new(MAX_CACHED))

-- Makes the gate of options. A mistake raises an error of one sentence.
local function make(opts, session_opts, uri, is_secure)
    local values, after = settings_of(opts, session_opts, uri, is_secure)
    local gate = gates.new(values)
    gate.scheme = opts.redirect_uri_scheme
    gate.logged_out_url = opts.post_logout_redirect_uri or after and not after:find("^/") and after or nil
    gate.keeps_user = true
    gate.never_refreshes = opts.renew_access_token_on_expiry == false
    gate.provider = gate.providers.id
    gate.provider.expires_in = opts.access_token_expires_in or 3600
    return gate
end

-- Returns the gate of options, or nil and an error of one sentence. `session_opts` are settings of oidc.setup() about
-- sessions: store, cookie_name, idle_timeout and the like.
function _M.gate(opts, session_opts)
    if type(opts) ~= "table" then
        return nil, "route_native.resty_openidc: the options are a table"
    end
    local sentence = refusal(opts)
    if sentence then
        return nil, sentence
    elseif type(session_opts) == "table" and (session_opts.start or session_opts.data) then
        return nil, "route_native.resty_openidc: a session of lua-resty-session is not supported: pass settings"
    end
    local uri = opts.redirect_uri or opts.redirect_uri_path or ngx.var.uri
    local is_secure = client.uses_tls() or opts.redirect_uri_scheme == "https" or uri:find("^https:") ~= nil
    local key = canonical { opts, session_opts or false, uri, is_secure }
    local gate = cached:get(key)
    if gate then
        return gate
    end
    local ok, result = pcall(make, opts, session_opts, uri, is_secure)
    if not ok then
        return nil, tostring(result)
    end
    cached:set(key, result)
    return result
end

-- Forgets the cached gates.
function _M.forget()
    cached:flush_all()
end

-- Returns a value as JSON, for caches.
_M.encode, _M.decode = cjson.encode, cjson.decode

return _M
