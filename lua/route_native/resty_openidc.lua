--- Offers the documented API of lua-resty-openidc, so that a program changes one line:
--
--     local openidc = require "route_native.resty_openidc"        -- was: require("resty.openidc")
--     local res, err = openidc.authenticate { discovery = "https://id.example/.well-known/openid-configuration",
--         redirect_uri = "/redirect_uri", client_id = "…", client_secret = "…" }
--
-- Include `conf/oidc_http.conf` in the `http` block. docs/migrate-openidc.md says what is the same, and what is
-- stricter.
--
-- @module route_native.resty_openidc

local access = require "route_native.oidc.access"
local bearer = require "route_native.resty_openidc.bearer"
local hooks = require "route_native.oidc.hooks"
local json = require "route_native.oidc.json"
local jwt = require "route_native.jwt"
local login = require "route_native.oidc.login"
local logout = require "route_native.oidc.logout"
local options = require "route_native.resty_openidc.options"
local provider = require "route_native.oidc.provider"
local session_id = require "route_native.session.id"

local ngx = ngx

local _M = { _VERSION = require("route_native")._VERSION }

local logger, level = ngx.log, ngx.ERR

-- Logs an error that a function returns. Returns the error.
local function logged(err)
    if err then
        logger(level, "route_native.resty_openidc: ", err)
    end
    return err
end

--- Describes who is logged in.
-- @table Result
-- @tfield[opt] table id_token claims of the ID token
-- @tfield[opt] string access_token the access token
-- @tfield[opt] table user what the UserInfo endpoint says
-- @tfield[opt] string enc_id_token the ID token itself, if `session_contents` has it

-- Returns whether the session's content of a name is wanted.
local function is_wanted(opts, name)
    local contents = opts.session_contents
    if not contents then
        return name ~= "enc_id_token"
    end
    return contents[name] == true
end

-- Returns what the program gets of a record.
local function result_of(opts, record)
    -- The provider signed the token, and the store is ours. An encrypted one cannot be decoded: its claims are kept.
    local claims = record.id_token and jwt.decode_unverified(record.id_token) or record.claims
    return {
        id_token = is_wanted(opts, "id_token") and claims or nil,
        access_token = is_wanted(opts, "access_token") and record.access_token or nil,
        user = is_wanted(opts, "user") and record.user or nil,
        enc_id_token = is_wanted(opts, "enc_id_token") and record.id_token or nil,
    }
end

-- Returns the session that the program gets.
local function session_of(gate, session, result)
    return {
        present = true, data = result,
        destroy = function()
            gate.cookies:clear_session()
            return gate.sessions:destroy_id(session.id)
        end,
        close = function() return true end,
    }
end

-- Returns the session of the request, or nil and a reason.
local function find(gate, opts)
    local policy = gate.settings.policies.default
    local session, reason = access.find(gate, policy, is_wanted(opts, "access_token"))
    local interval = tonumber(opts.refresh_session_interval)
    if session and opts.force_reauthorize then
        return nil, "expired"
    elseif session and interval and ngx.time() >= (session.record.began_at or 0) + interval then
        return nil, "expired"
    end
    return session, reason
end

--- Logs the user in. Without a session, a page goes to the provider, and a script gets 401. Answers the callback and
-- the logout. Call it in the access phase, or in the rewrite phase.
-- @tparam table opts the options of lua-resty-openidc
-- @tparam[opt] string target_url path that the login leads to; that of the request by default
-- @tparam[opt] string unauth_action `pass` or `deny` return in place of a redirect
-- @tparam[opt] table session_opts settings of `route_native.oidc` about sessions, such as `store`
-- @treturn Result|nil who is logged in
-- @treturn string|nil an error
-- @treturn string|nil the target
-- @treturn table|nil the session: `data`, `present`, `destroy()` and `close()`
function _M.authenticate(opts, target_url, unauth_action, session_opts)
    local gate, err = options.gate(opts, session_opts)
    if not gate then
        return nil, logged(err), target_url
    end
    hooks.set(opts.lifecycle)
    local endpoint = gate.endpoints[ngx.var.uri]
    if endpoint then
        return endpoint(gate)
    end
    local session, reason = find(gate, opts)
    if session then
        gate.sessions:extend(session)
        local result = result_of(opts, session.record)
        return result, nil, target_url or ngx.var.request_uri, session_of(gate, session, result)
    elseif reason == "unavailable" then
        return nil, logged("the provider or the session store is not available"), target_url
    elseif unauth_action == "pass" then
        return nil, nil, target_url
    elseif unauth_action == "deny" then
        return nil, "unauthorized request", target_url
    elseif target_url and session_id.is_local_path(target_url) then
        return login.begin(gate, gate.provider, target_url, gate.settings.policies.default)
    end
    return login.require(gate, gate.settings.policies.default, reason)
end

--- Returns the access token of the session, refreshed if that is due.
-- @tparam table opts the options
-- @tparam[opt] table session_opts as for `authenticate()`
-- @treturn string|nil the access token
-- @treturn string|nil an error
function _M.access_token(opts, session_opts)
    local gate, err = options.gate(opts, session_opts)
    if not gate then
        return nil, err
    end
    local session, reason = access.find(gate, gate.settings.policies.default, true)
    return session and session.record.access_token, not session and "no session: " .. reason or nil
end

--- Asks the UserInfo endpoint.
-- @tparam table opts the options
-- @tparam string access_token the access token
-- @treturn table|nil the claims
-- @treturn string|nil an error
function _M.call_userinfo_endpoint(opts, access_token)
    local gate, err = options.gate(opts)
    local metadata = gate and gate.provider:metadata()
    local url = metadata and metadata.urls.userinfo_endpoint
    if not url then
        return nil, logged(err or "the provider has no userinfo_endpoint, or is not available")
    end
    local answer = gate.provider:get(url, access_token, "application/json")
    local claims = answer and answer.status == 200 and json.parse(answer.body)
    return claims or nil, not claims and "response indicates failure" or nil
end

--- Returns the metadata of the provider.
-- @tparam table opts the options
-- @treturn table|nil the metadata
-- @treturn string|nil an error
function _M.get_discovery_doc(opts)
    local gate, err = options.gate(opts)
    local metadata = gate and gate.provider:metadata()
    return metadata and metadata.document, not metadata and logged(err or "the provider is not available") or nil
end

--- Introspects the bearer token of the request (RFC 7662). Results are cached in `lua_shared_dict introspection`, if
-- there is one.
-- @tparam table opts the options
-- @treturn table|nil what the server says about an active token
-- @treturn string|nil an error
function _M.introspect(opts)
    local result, err = bearer.introspect(opts)
    return result, logged(err)
end

--- Verifies a JWT.
-- @tparam string access_token the token
-- @tparam table opts the options: `secret`, `public_key`, `symmetric_key` or `discovery`
-- @tparam[opt] table ... claim specs of lua-resty-jwt
-- @treturn table|nil the claims
-- @treturn string|nil an error
function _M.jwt_verify(access_token, opts, ...)
    local claims, err = bearer.verify(access_token, opts, ...)
    return claims, logged(err)
end

--- Verifies the bearer token of the request, which is a JWT.
-- @tparam table opts the options of `jwt_verify()`
-- @tparam[opt] table ... claim specs of lua-resty-jwt
-- @treturn table|nil the claims
-- @treturn string|nil an error
-- @treturn string|nil the token
function _M.bearer_jwt_verify(opts, ...)
    local token, err = bearer.token(opts)
    if not token then
        return nil, logged(err)
    end
    local claims
    claims, err = bearer.verify(token, opts, ...)
    return claims, logged(err), token
end

--- Revokes the tokens of the session at the provider (RFC 7009).
-- @tparam table opts the options
-- @tparam[opt] table session_opts as for `authenticate()`
-- @treturn boolean whether they are revoked
function _M.revoke_tokens(opts, session_opts)
    -- lua-resty-openidc takes its own session here.
    local gate = options.gate(opts, session_opts and not session_opts.data and session_opts or nil)
    local session = gate and gate.sessions:load()
    return session ~= nil and session ~= false and logout.revoke_tokens(gate.provider, session.record)
end

--- Empties the caches of metadata, keys and introspections.
function _M.invalidate_caches()
    options.forget()
    for _, name in ipairs { provider.CACHE, bearer.CACHE } do
        if ngx.shared[name] then
            ngx.shared[name]:flush_all()
        end
    end
end

--- Sets the function that logs the errors that this module returns, in place of nginx's log. They hold no token.
-- @tparam function new_logger called as `ngx.log` is
-- @tparam table new_levels the levels by name; `ERROR` is used
function _M.set_logging(new_logger, new_levels)
    logger, level = new_logger, new_levels.ERROR
end

return _M
