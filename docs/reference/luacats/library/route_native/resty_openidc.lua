---@meta route_native.resty_openidc
-- `make docs` writes this file from the comments in `lua/route_native/resty_openidc.lua`.

--- Offers the documented API of lua-resty-openidc, so that a program changes one line:
---
---     local openidc = require "route_native.resty_openidc"        -- was: require("resty.openidc")
---     local res, err = openidc.authenticate { discovery = "https://id.example/.well-known/openid-configuration",
---         redirect_uri = "/redirect_uri", client_id = "…", client_secret = "…" }
---
--- Include `conf/oidc_http.conf` in the `http` block. docs/migrate-openidc.md says what is the same, and what is
--- stricter.
---@class route_native.resty_openidc
local M = {}

--- Describes who is logged in.
---@class route_native.resty_openidc.Result
---@field id_token? table claims of the ID token
---@field access_token? string the access token
---@field user? table what the UserInfo endpoint says
---@field enc_id_token? string the ID token itself, if `session_contents` has it

--- Logs the user in. Without a session, a page goes to the provider, and a script gets 401. Answers the callback and
--- the logout. Call it in the access phase, or in the rewrite phase.
---@param opts table the options of lua-resty-openidc
---@param target_url? string path that the login leads to; that of the request by default
---@param unauth_action? string `pass` or `deny` return in place of a redirect
---@param session_opts? table settings of `route_native.oidc` about sessions, such as `store`
---@return route_native.resty_openidc.Result|nil # who is logged in
---@return string|nil # an error
---@return string|nil # the target
---@return table|nil # the session: `data`, `present`, `destroy()` and `close()`
function M.authenticate(opts, target_url, unauth_action, session_opts) end

--- Returns the access token of the session, refreshed if that is due.
---@param opts table the options
---@param session_opts? table as for `authenticate()`
---@return string|nil # the access token
---@return string|nil # an error
function M.access_token(opts, session_opts) end

--- Asks the UserInfo endpoint.
---@param opts table the options
---@param access_token string the access token
---@return table|nil # the claims
---@return string|nil # an error
function M.call_userinfo_endpoint(opts, access_token) end

--- Returns the metadata of the provider.
---@param opts table the options
---@return table|nil # the metadata
---@return string|nil # an error
function M.get_discovery_doc(opts) end

--- Introspects the bearer token of the request (RFC 7662). Results are cached in `lua_shared_dict introspection`, if
--- there is one.
---@param opts table the options
---@return table|nil # what the server says about an active token
---@return string|nil # an error
function M.introspect(opts) end

--- Verifies a JWT.
---@param access_token string the token
---@param opts table the options: `secret`, `public_key`, `symmetric_key` or `discovery`
---@param ... table claim specs of lua-resty-jwt
---@return table|nil # the claims
---@return string|nil # an error
function M.jwt_verify(access_token, opts, ...) end

--- Verifies the bearer token of the request, which is a JWT.
---@param opts table the options of `jwt_verify()`
---@param ... table claim specs of lua-resty-jwt
---@return table|nil # the claims
---@return string|nil # an error
---@return string|nil # the token
function M.bearer_jwt_verify(opts, ...) end

--- Revokes the tokens of the session at the provider (RFC 7009).
---@param opts table the options
---@param session_opts? table as for `authenticate()`
---@return boolean # whether they are revoked
function M.revoke_tokens(opts, session_opts) end

--- Empties the caches of metadata, keys and introspections.
function M.invalidate_caches() end

--- Sets the function that logs the errors that this module returns, in place of nginx's log. They hold no token.
---@param new_logger function called as `ngx.log` is
---@param new_levels table the levels by name; `ERROR` is used
function M.set_logging(new_logger, new_levels) end

return M
