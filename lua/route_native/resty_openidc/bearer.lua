-- Bearer tokens of the options of lua-resty-openidc: where they are, and how they are verified or introspected.

local bearer = require "route_native.core.bearer"
local client_auth = require "route_native.http.client_auth"
local config = require "route_native.core.config"
local json = require "route_native.oidc.json"
local jwt = require "route_native.jwt"
local keyring = require "route_native.jwt.keyring"
local options = require "route_native.resty_openidc.options"
local claims_spec = require "route_native.resty_jwt.claims"
local outbound = require "route_native.http.outbound"
local random = require "route_native.core.random"
local scan = require "route_native.core.scan"

local ngx = ngx

-- The dictionary of lua-resty-openidc for results of introspection and verification. Without it, nothing is cached.
local CACHE = "introspection"
-- The longest time that a result without an end is cached, in seconds.
local MAX_SECONDS = 3600
local JSON, FORM = "application/json", "application/x-www-form-urlencoded"

local _M = { CACHE = CACHE }

-- Returns the token of the request, or nil and an error.
function _M.token(opts)
    local place = opts.auth_accept_token_as or "header"
    local cookie = place:match("^cookie:?(.*)$")
    if cookie then
        local name = cookie ~= "" and cookie or "PA.global"
        local values = scan.cookies(ngx.var.http_cookie or "", name, 2)
        if #values ~= 1 then
            return nil, "no Cookie " .. name .. " found"
        end
        return values[1]
    end
    local name = opts.auth_accept_token_as_header_name or "Authorization"
    local value = ngx.req.get_headers(0)[name:lower()]
    if not value then
        return nil, "no Authorization header found"
    end
    local token = bearer.token(value)
    if not token or token == "" then
        return nil, "no Bearer authorization header value found"
    end
    return token
end

-- Returns the keys of options, or nil and an error.
local function keys_of(opts)
    local text = opts.secret or opts.public_key or opts.symmetric_key
    if text then
        return keyring.of_text(keyring.looks_like_key(text) and keyring.KEY or keyring.SHORT_SECRET, text)
    elseif not opts.discovery then
        return nil, "no secret, public_key or discovery is configured"
    end
    local copy = { client_id = "bearer", redirect_uri = "/.route_native/openidc/none" }
    for key, value in pairs(opts) do
        copy[key] = value
    end
    local gate, err = options.gate(copy)
    local metadata = gate and gate.provider:metadata()
    return metadata and metadata.keys, err or "the discovery document is not available"
end

local policies = setmetatable({}, { __mode = "k" })

-- Returns the policy of options. Claims are checked by specs behind it, as lua-resty-jwt does.
local function policy_of(opts)
    local policy = policies[opts]
    if not policy then
        policy = jwt.policy {
            algorithms = opts.token_signing_alg_values_expected, leeway = math.min(opts.jwt_slack or 120, 300),
            require_exp = false,
        }
        policies[opts] = policy
    end
    return policy
end

-- Verifies a token. Returns its claims, or nil and an error. `...` are claim specs of lua-resty-jwt.
function _M.verify(token, opts, ...)
    local keys, err = keys_of(opts)
    if not keys then
        return nil, err
    end
    local claims, header = jwt.verify(token, keys, policy_of(opts))
    if not claims then
        return nil, "invalid jwt: " .. tostring(header)
    end
    if select("#", ...) > 0 then
        local ok, reason = pcall(claims_spec.error, { header = header, payload = claims }, ...)
        if not ok or reason then
            return nil, "invalid jwt: " .. tostring(reason)
        end
    end
    return claims
end

-- Returns for how many seconds a result may be cached.
local function seconds_of(opts, result)
    local claim = opts.introspection_expiry_claim or opts.expiry_claim or "exp"
    local value = tonumber(result[claim])
    local seconds = value and (claim == "expires_in" and value or value - ngx.time()) or MAX_SECONDS
    local interval = tonumber(opts.introspection_interval)
    if interval and interval > 0 then
        seconds = math.min(seconds, interval)
    end
    return math.min(seconds, MAX_SECONDS)
end

-- Asks the server. Returns its answer as a table, or nil and an error.
local function ask(opts, token)
    local url, err = outbound.parse_url(opts.introspection_endpoint)
    if not url then
        return nil, "introspection_endpoint " .. err
    end
    local client = client_auth.new {
        method = opts.introspection_endpoint_auth_method or "client_secret_post",
        client_id = opts.client_id, client_secret = opts.client_secret,
    }
    local fields = { { opts.introspection_token_param_name or "token", token } }
    for name, value in pairs(opts.introspection_params or {}) do
        fields[#fields + 1] = { name, tostring(value) }
    end
    local target = outbound.target {
        url = url, verify_ssl = opts.ssl_verify == nil or opts.ssl_verify == true or opts.ssl_verify == "yes",
        accept = JSON, content_type = FORM, authorization = client_auth.authorization(client),
    }
    local answer, message = outbound.ask(target,
        client_auth.form(opts.client_id and client_auth.add(client, fields, url.text) or fields))
    if not answer then
        return nil, message
    elseif answer.status ~= 200 then
        return nil, "response indicates failure, status=" .. answer.status
    end
    local result = json.parse(answer.body)
    if not result then
        return nil, "JSON decoding failed"
    end
    return result
end

-- Introspects the token of the request. Returns the answer about an active token, or nil and an error.
function _M.introspect(opts)
    local token, err = _M.token(opts)
    if not token then
        return nil, err
    elseif type(opts.introspection_endpoint) ~= "string" then
        config.fail("route_native.resty_openidc", "introspect() needs introspection_endpoint")
    end
    local dict = not opts.introspection_cache_ignore and ngx.shared[CACHE]
    local key = dict and random.digest(options.canonical(opts) .. " " .. token)
    local cached = dict and dict:get(key)
    if cached then
        return options.decode(cached)
    end
    local result
    result, err = ask(opts, token)
    if not result then
        return nil, err
    elseif not result.active then
        return nil, "invalid token"
    end
    local seconds = seconds_of(opts, result)
    if dict and seconds > 0 then
        dict:set(key, options.encode(result), seconds)
    end
    return result
end

return _M
