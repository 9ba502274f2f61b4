-- Reads the configuration of OpenID Connect. A mistake raises an error of one sentence. docs/oidc.md documents it.

local claim_headers = require "route_native.core.claim_headers"
local config = require "route_native.core.config"
local outbound = require "route_native.http.outbound"
local session_settings = require "route_native.session.settings"

local _M = {}

local OWNER = "route_native: oidc"
_M.OWNER = OWNER

local any_text = config.text()
local path = session_settings.PATH
local url = config.text("^[Hh][Tt][Tt][Pp][Ss]?://[^%s?#]+$", "a URL without query and fragment")
-- A parameter's value may hold blanks, and no control characters.
local words = config.text("^[\33-\126]+[\32-\126]*$", "words with single blanks between")

local PROVIDER = {
    { "issuer", url, required = true },
    { "client_id", any_text, required = true },
    { "client_secret", any_text },
    { "client_key_file", any_text },
    { "client_key", config.any("string") },
    { "client_key_id", any_text },
    { "client_algorithm", any_text },
    { "token_endpoint_auth_method",
        config.choice("client_secret_basic", "client_secret_post", "private_key_jwt", "none") },
    { "scope", words, default = "openid" },
    { "response_mode", config.choice("query", "form_post"), default = "query" },
    { "authorization_params", config.any("table"), default = {} },
    { "discovery_url", url },
    { "metadata", config.any("table") },
    { "metadata_max_age", config.whole(1, 7 * 86400, "seconds"), default = 3600 },
    { "metadata_stale", config.whole(0, 7 * 86400, "seconds"), default = 86400 },
    { "jwks_max_age", config.whole(1, 7 * 86400, "seconds"), default = 600 },
    { "verify_ssl", config.boolean(), default = true },
    { "id_token_algorithms", config.list(), default = "RS256" },
    { "id_token_key_file", any_text },
    { "leeway", config.whole(0, 300, "seconds"), default = 5 },
    { "userinfo", config.boolean(), default = false },
    { "pushed_requests", config.boolean(), default = true },
    { "refresh_before", config.whole(0, 3600, "seconds"), default = 30 },
    { "provider_logout", config.boolean(), default = true },
    { "id_token_hint", config.boolean(), default = true },
    { "revoke_at_logout", config.boolean(), default = false },
    { "title", any_text },
}

local POLICY = config.rows({
    { "provider", any_text },
    { "acr", config.list() },
    { "max_age", config.whole(0, 30 * 86400, "seconds") },
    { "access_token", config.boolean(), default = false },
    { "unauthenticated", config.choice("login", "refuse", "pass"), default = "login" },
}, claim_headers.ROWS)

local GATE = {
    { "name", config.text("^[%w_-]+$", "letters, digits, _ and -"), default = "default" },
    { "providers", config.any("table"), required = true },
    { "policies", config.any("table"), default = {} },
    { "public_url", config.text("^https?://[%w.:%[%]-]+$", "a scheme and a host, such as https://app.example.com") },
    { "callback_path", path, default = "/oidc/callback" },
    { "login_path", path, default = "/oidc/login" },
    { "logout_path", path, default = "/oidc/logout" },
    { "backchannel_logout_path", path, default = "/oidc/backchannel-logout" },
    { "frontchannel_logout_path", path, default = "/oidc/frontchannel-logout" },
    { "default_path", path, default = "/" },
    { "logged_out_path", path, default = "/" },
    { "return_origins", config.ORIGINS },
}

local ROWS = config.rows(GATE, session_settings.rows("oidc_session", "oidc_sessions", "oidc:"))

-- Returns the text of a key file. The master reads it at the start, before it drops root.
local function read_file(name, file_path)
    local file, err = io.open(file_path, "rb")
    local text = file and file:read(65536)
    if file then
        file:close()
    end
    return text or config.fail(OWNER, "%s cannot be read: %s", name, err or "it is empty")
end

-- Returns how a client proves itself: what is configured, or else what its credentials are for.
local function auth_method(name, values)
    local method = values.token_endpoint_auth_method or values.client_secret and "client_secret_basic"
        or (values.client_key_file or values.client_key) and "private_key_jwt" or "none"
    if method:find("^client_secret") and not values.client_secret then
        config.fail(OWNER, 'the field "%sclient_secret" is missing, and %s needs it', name, method)
    elseif method == "private_key_jwt" and not values.client_key_file and not values.client_key then
        config.fail(OWNER, 'the field "%sclient_key_file" is missing, and private_key_jwt needs it', name)
    end
    return method
end

-- Checks the algorithms of ID tokens. HMAC with the client's secret and signatures never go together: whoever may
-- choose between them could sign with the public key.
local function check_algorithms(name, values)
    local hmac = 0
    for _, algorithm in ipairs(values.id_token_algorithms) do
        if algorithm == "none" then
            config.fail(OWNER, 'the field "%sid_token_algorithms" cannot have "none": everybody could sign', name)
        end
        hmac = hmac + (algorithm:find("^HS") and 1 or 0)
    end
    if hmac > 0 and hmac < #values.id_token_algorithms then
        config.fail(OWNER, 'the field "%sid_token_algorithms" mixes HMAC with signatures', name)
    elseif hmac > 0 and not values.client_secret then
        config.fail(OWNER, 'the field "%sclient_secret" is missing, and HMAC needs it', name)
    end
    values.uses_hmac = hmac > 0
end

-- The parameters of an authorization request that are ours.
local OWN = {
    response_type = true, client_id = true, redirect_uri = true, state = true, nonce = true, code_challenge = true,
    code_challenge_method = true, response_mode = true, scope = true, request = true, request_uri = true,
}

local function check_params(name, params)
    for key, value in pairs(params) do
        if type(key) ~= "string" or not key:find("^[%w_.-]+$") or OWN[key] then
            config.fail(OWNER, 'the field "%sauthorization_params" cannot set "%s"', name, tostring(key))
        elseif type(value) ~= "string" or value:find("%c") then
            config.fail(OWNER, 'the field "%sauthorization_params" must have texts', name)
        end
    end
end

-- Reads the settings of a provider.
local function read_provider(key, input)
    local prefix = "providers." .. key .. "."
    local values = config.read(OWNER, PROVIDER, input, prefix)
    values.name, values.title = key, values.title or key
    values.issuer_url = outbound.parse_url(values.issuer) or config.fail(OWNER, '"%sissuer" is no URL', prefix)
    values.method = auth_method(prefix, values)
    check_algorithms(prefix, values)
    check_params(prefix, values.authorization_params)
    if not (" " .. values.scope .. " "):find(" openid ", 1, true) then
        config.fail(OWNER, 'the field "%sscope" must have the scope openid', prefix)
    end
    values.client_key = values.client_key_file and read_file(prefix .. "client_key_file", values.client_key_file)
        or values.client_key
    values.id_token_key = values.id_token_key_file
        and read_file(prefix .. "id_token_key_file", values.id_token_key_file)
    return values
end

-- Reads a table of named tables.
local function read_named(field, input, read)
    local all = {}
    for key, row in pairs(input) do
        if type(key) ~= "string" or not key:find("^[%w_-]+$") then
            config.fail(OWNER, 'a name in "%s" must be letters, digits, _ and -', field)
        end
        all[key] = read(key, row)
    end
    return all
end

-- Reads a policy: what a location asks of a session.
local function read_policy(key, input, providers)
    local values = config.read(OWNER, POLICY, input, "policies." .. key .. ".")
    if values.provider and not providers[values.provider] then
        config.fail(OWNER, 'the field "policies.%s.provider" must name a provider', key)
    end
    values.name = key
    values.claim_headers = claim_headers.of(OWNER, values)
    values.acrs = {}
    for _, acr in ipairs(values.acr or {}) do
        values.acrs[acr] = true
    end
    return values
end

-- Checks that the paths of the endpoints differ, and none of them has a query.
local function check_paths(settings)
    local field_of = {}
    for _, field in ipairs { "callback_path", "login_path", "logout_path", "backchannel_logout_path",
        "frontchannel_logout_path" } do
        local value = settings[field]
        if value:find("[?#]") then
            config.fail(OWNER, 'the field "%s" must be a path without a query', field)
        elseif field_of[value] then
            config.fail(OWNER, 'the fields "%s" and "%s" have the same path', field_of[value], field)
        end
        field_of[value] = field
    end
end

-- Reads the configuration that setup() received.
function _M.read(input)
    local settings = config.read(OWNER, ROWS, input)
    settings.providers = read_named("providers", settings.providers, read_provider)
    if next(settings.providers) == nil then
        config.fail(OWNER, '"providers" must have at least one provider')
    end
    settings.policies = read_named("policies", settings.policies, function(key, row)
        return read_policy(key, row, settings.providers)
    end)
    settings.policies.default = settings.policies.default or read_policy("default", {}, settings.providers)
    check_paths(settings)
    session_settings.check(OWNER, settings)
    return settings
end

return _M
