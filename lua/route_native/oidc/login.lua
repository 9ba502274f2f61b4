-- Logs users in by the authorization code flow (OpenID Connect Core 3.1) with PKCE (RFC 7636).
--
--     a page without a session ──► the provider, with a state ──► callback ──► session ──► the page

local access_log = require "route_native.core.access_log"
local answer = require "route_native.oidc.answer"
local client = require "route_native.core.client"
local client_auth = require "route_native.http.client_auth"
local core_query = require "route_native.core.query"
local hooks = require "route_native.oidc.hooks"
local json = require "route_native.oidc.json"
local login_body = require "route_native.core.login_body"
local metrics = require "route_native.core.metrics"
local page = require "route_native.core.page"
local session_id = require "route_native.session.id"
local state = require "route_native.oidc.state"
local tokens_of = require "route_native.oidc.tokens"

local ngx = ngx

local MAX_ARGUMENTS, MAX_CODE_BYTES, MAX_BODY = 20, 4096, 65536
local FORM = "application/x-www-form-urlencoded"
-- The arguments of our login page.
local RETURN, PROVIDER, POLICY = "return", "provider", "policy"

local _M = {}

-- Returns the parameters of the authorization request.
local function parameters(provider, login)
    local settings = provider.settings
    local fields = {
        { "response_type", "code" }, { "client_id", settings.client_id }, { "redirect_uri", login.u },
        { "scope", settings.scope }, { "state", login.s }, { "nonce", login.n },
        { "code_challenge", login.c }, { "code_challenge_method", "S256" },
        { "response_mode", settings.response_mode ~= "query" and settings.response_mode or nil },
        { "acr_values", login.a and table.concat(login.a, " ") or nil },
        { "max_age", login.m and tostring(login.m) or nil },
    }
    for name, value in pairs(settings.authorization_params) do
        fields[#fields + 1] = { name, value }
    end
    return fields
end

-- Pushes the request to the provider (RFC 9126). Returns the parameters that remain, or nil if the provider failed.
local function pushed(provider, url, fields)
    local form = {}
    for _, field in ipairs(fields) do
        -- The authentication of the client adds its id, where it does not name it otherwise.
        if field[1] ~= "client_id" or provider.settings.method == "client_secret_basic" then
            form[#form + 1] = field
        end
    end
    local reply = provider:post(url, form)
    local content = reply and (reply.status == 201 or reply.status == 200) and json.parse(reply.body)
    local request_uri = content and content.request_uri
    if type(request_uri) ~= "string" or #request_uri > 2048 or request_uri:find("[^\33-\126]") then
        if reply then
            provider:log("the pushed request", "status " .. reply.status .. " without a request_uri")
        end
        return nil
    end
    return { { "client_id", provider.settings.client_id }, { "request_uri", request_uri } }
end

-- Sends the user to a provider, and afterwards to a path.
function _M.begin(gate, provider, path, wanted)
    local metadata, status = provider:metadata()
    if not metadata then
        access_log.reason("provider_unavailable")
        ngx.log(ngx.ERR, "route_native: oidc: the provider ", provider.name, " is not available: status ", status)
        return answer.unavailable()
    end
    local login = state.begin(gate, provider, path, wanted)
    if not login then
        return answer.unavailable()
    end
    local fields = parameters(provider, login)
    local pushed_to = metadata.urls.pushed_authorization_request_endpoint
    if pushed_to and provider.settings.pushed_requests then
        fields = pushed(provider, pushed_to, fields)
        if not fields then
            ngx.header["Set-Cookie"] = nil
            return answer.unavailable()
        end
    end
    gate.counters:add("login.begun")
    hooks.run("on_created")
    local url = metadata.urls.authorization_endpoint.text
    return answer.redirect(url .. (url:find("?", 1, true) and "&" or "?") .. client_auth.form(fields))
end

-- Returns the path of the request for after the login, if a redirect can repeat the request.
local function wanted_path(gate)
    local path = ngx.var.request_uri
    local is_repeatable = ngx.req.get_method() == "GET" or ngx.req.get_method() == "HEAD"
    return is_repeatable and session_id.is_local_path(path) and path or gate.settings.default_path
end

-- Returns the path of our login page with its arguments: where the login leads, a provider, and the name of a policy
-- that it must satisfy.
function _M.path(gate, target, provider, policy)
    return gate.settings.login_path .. "?" .. client_auth.form {
        { RETURN, target }, { PROVIDER, provider }, { POLICY, policy ~= "default" and policy or nil },
    }
end

-- Shows the providers to choose from.
local function choose(gate, target, policy)
    local links = {}
    for i, name in ipairs(gate.provider_names) do
        links[i] = answer.link(_M.path(gate, target, name, policy.name), gate.providers[name].settings.title)
    end
    return page.finish(200, "Log in", "Choose how to log in.", table.concat(links))
end

-- Sends the user to the provider of a policy, or to the choice of one.
local function begin_by_policy(gate, policy, path)
    local name = policy.provider or not gate.provider_names[2] and gate.provider_names[1]
    if name then
        return _M.begin(gate, gate.providers[name], path, policy)
    end
    return answer.redirect(_M.path(gate, path, nil, policy.name))
end

-- Ends a request that needs a login: a page goes to the provider, a script gets 401, and a page's form is not lost.
function _M.require(gate, policy, reason)
    access_log.reason("session_" .. reason)
    gate.counters:add("session." .. reason)
    local method = ngx.req.get_method()
    if reason == "unavailable" then
        metrics.refused("oidc", 503, "session_unavailable")
        return answer.unavailable()
    elseif policy.unauthenticated == "refuse" or not client.wants_page() then
        metrics.refused("oidc", 401, "session_" .. reason)
        return answer.session_expired()
    end
    local can_repeat = method == "GET" or method == "HEAD"
    metrics.refused("oidc", can_repeat and 302 or 401, "session_" .. reason)
    if not can_repeat then
        return answer.log_in_and_reload(_M.path(gate, gate.settings.default_path, policy.provider, policy.name))
    end
    return begin_by_policy(gate, policy, wanted_path(gate))
end

-- Answers the login page: begins a login at a provider, or shows the providers to choose from.
function _M.login(gate)
    local method = ngx.req.get_method()
    if method ~= "GET" and method ~= "HEAD" then
        ngx.header["Allow"] = "GET, HEAD"
        return answer.not_allowed()
    end
    local arguments = ngx.req.get_uri_args(MAX_ARGUMENTS)
    local target, name = gate:return_target(arguments[RETURN]), arguments[PROVIDER]
    -- Anybody can name a policy: it only makes the login stronger.
    local policy = gate.settings.policies[arguments[POLICY] or "default"]
    name = name or policy and policy.provider or not gate.provider_names[2] and gate.provider_names[1]
    local provider = type(name) == "string" and gate.providers[name]
    if provider and policy then
        return _M.begin(gate, provider, target, policy)
    elseif name or not policy then
        return answer.not_found()
    end
    return choose(gate, target, policy)
end

-- Returns the arguments of the callback: from the query, or from the form that the provider's page sends. Returns nil
-- and an answer otherwise.
local function read_arguments()
    local method = ngx.req.get_method()
    if method == "GET" then
        local arguments, query = ngx.req.get_uri_args(MAX_ARGUMENTS), ngx.var.args
        -- nginx logs URLs, and the code is a secret until it is used.
        if query and query ~= "" then
            core_query.scrub(query)
        end
        return arguments
    elseif method ~= "POST" then
        ngx.header["Allow"] = "GET, POST"
        return nil, answer.not_allowed
    elseif (ngx.var.content_type or ""):match("^[^;%s]*"):lower() ~= FORM then
        return nil, answer.not_allowed
    end
    local body, status = login_body.read(MAX_BODY)
    if not body then
        return nil, status == 413 and answer.too_large or answer.length_required
    end
    return ngx.decode_args(body, MAX_ARGUMENTS), nil, true
end

-- Returns the argument of a name if it is there once and a text of bounded length, or nil.
local function argument(arguments, name)
    local value = arguments[name]
    return type(value) == "string" and #value <= MAX_CODE_BYTES and not value:find("%c") and value or nil
end

-- Returns whether the answer is from the provider that was asked (RFC 9207), against a mix-up of two providers.
local function is_from(provider, metadata, arguments)
    if arguments.iss == nil then
        return not metadata.sends_iss
    end
    return arguments.iss == provider.issuer
end

-- Begins the session of checked tokens. Returns nil on success, or an answer.
local function begin_session(gate, provider, tokens, claims, user)
    local record = {
        provider = provider.name, sub = claims.sub, claims = claims, acr = claims.acr, auth_time = claims.auth_time,
        access_token = tokens.access_token, refresh_token = tokens.refresh_token, id_token = tokens.id_token,
        expires_at = tokens.expires_at, began_at = ngx.time(), user = gate.keeps_user and user or nil,
    }
    local sid = type(claims.sid) == "string" and claims.sid or nil
    local lists = { gate.list_of("sub", provider.issuer, claims.sub) }
    lists[2] = sid and gate.list_of("sid", provider.issuer, sid)
    local id = gate.sessions:create(record, lists, { sub = claims.sub, iss = provider.issuer, sid = sid })
    if not id then
        return answer.unavailable
    end
    -- Ends the session of the old id, against session fixation.
    gate.sessions:destroy()
    gate.cookies:set_session(id)
end

-- Ends a login that failed. The reason is for the log.
local function fail(gate, kind, reason, path)
    access_log.reason(reason)
    gate.counters:add("login.failure")
    return answer.login_failed(kind, path or gate.settings.default_path)
end

-- Exchanges the code, checks the ID token, and begins the session. Returns nil on success, or the kind and the reason
-- of a failure, or "unavailable".
local function finish(gate, provider, login, code)
    local tokens, status, refusal = tokens_of.ask(provider, {
        { "grant_type", "authorization_code" }, { "code", code }, { "redirect_uri", login.u },
        { "code_verifier", login.v },
    })
    if not tokens then
        return status == "refused" and "failed" or "unavailable", refusal and "code_refused" or "provider_unavailable"
    end
    local claims, reason, is_ours = tokens_of.check(provider, tokens, login.n)
    if not claims then
        ngx.log(ngx.WARN, "route_native: oidc: an ID token of ", provider.name, " is refused: ", reason)
        return is_ours and "unavailable" or "failed", "id_token_refused"
    end
    local acrs = {}
    for _, acr in ipairs(login.a or {}) do
        acrs[acr] = true
    end
    reason = tokens_of.weakness(claims, { acrs = acrs, max_age = login.m }, ngx.time(), provider.settings.leeway)
    if reason then
        return "not_enough", reason
    end
    local user = provider.settings.userinfo and tokens_of.add_userinfo(provider, claims, tokens.access_token)
    if provider.settings.userinfo and not user then
        return "unavailable", "provider_unavailable"
    elseif hooks.run("on_authenticated", claims, tokens) then
        return "refused", "refused_by_program"
    end
    return begin_session(gate, provider, tokens, claims, user) and "unavailable" or nil, "store_failed"
end

-- Ends a callback without a login of this browser. A user who went back to it and has a session goes on.
local function end_stale(gate)
    if gate.sessions:load() then
        return answer.redirect(gate.settings.default_path)
    end
    return fail(gate, "stale", "state_unknown")
end

-- Answers the callback of a login that this browser has begun.
local function end_login(gate, login, arguments, ticket)
    local provider = gate.providers[login.p]
    local metadata = provider:metadata()
    if not metadata then
        return answer.unavailable()
    elseif not is_from(provider, metadata, arguments) then
        return fail(gate, "failed", "issuer_mismatch", login.r)
    elseif arguments.error ~= nil then
        return fail(gate, "refused", "provider_refused", login.r)
    end
    local code = argument(arguments, "code")
    if not code then
        return fail(gate, "failed", "code_missing", login.r)
    end
    local kind, reason = finish(gate, provider, login, code)
    if not kind or kind == "unavailable" then
        gate.limits:forgive(ticket)
    end
    if kind == "unavailable" then
        access_log.reason(reason)
        return answer.unavailable()
    elseif kind then
        return fail(gate, kind, reason, login.r)
    end
    gate.counters:add("login.success")
    return answer.redirect(login.r)
end

-- Answers the callback.
function _M.callback(gate)
    local arguments, refuse, is_form = read_arguments()
    if not arguments then
        return refuse()
    end
    -- Whoever calls this makes the store remember a state, and may make the provider work.
    local ticket, wait, is_full = gate.limits:count_address()
    if not ticket then
        return is_full and answer.unavailable() or answer.too_many(wait)
    end
    local login, reason = state.take(gate, argument(arguments, "state"))
    if not login then
        return reason == "unavailable" and answer.unavailable() or end_stale(gate)
    elseif (gate.providers[login.p].settings.response_mode == "form_post") ~= (is_form == true) then
        return fail(gate, "failed", "response_mode_mismatch", login.r)
    end
    return end_login(gate, login, arguments, ticket)
end

return _M
