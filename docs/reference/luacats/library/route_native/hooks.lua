---@meta route_native.hooks
-- `make docs` writes this file from the comments in `lua/route_native/hooks.lua`.

--- What the shipped configuration calls besides the capabilities: one line of `conf/` for each function. This is the
--- only module that `conf/` names for its own needs; what is behind it may move.
---@class route_native.hooks
local M = {}

--- Takes the token out of the query and out of nginx's memory. For `set_by_lua` (query_token.conf).
---@return string|nil # the token; several are joined by a comma
function M.take_query_token() end

--- Overwrites the query of the Referer header in nginx's memory. For `set_by_lua` (query_token.conf).
function M.scrub_referer() end

--- Ends a request that nginx refused with 400 (sites-enabled/routehttp.conf).
function M.bad_request() end

--- Ends a request with 401, as one with a bad token (sites-enabled/routehttp.conf).
function M.invalid_token() end

--- Ends a request of a WebSocket endpoint that opens no WebSocket with 426 (sites-enabled/routehttp.conf).
function M.upgrade_required() end

--- Returns the Cookie header for a desktop. For `set_by_lua` (runtime/desktop.conf).
---@param names string names of the cookies that pass, with commas between
---@return string # the header; "" if none is left
function M.cookies_for_desktop(names) end

--- Refuses an answer of a desktop that is no final one, and leaves only the cookies in it that a desktop may set.
--- For `header_filter_by_lua` (runtime/desktop.conf).
---@param names string names of the cookies that pass, with commas between; "" if none does
function M.desktop_answer(names) end

--- Refuses an answer of any upstream that is no final one: an interim one (1xx), of which nginx would send on what
--- follows as it is, or one without a status line. The 101 that opens a WebSocket passes. For `header_filter_by_lua`
--- (border_proxy.conf, and the sites of the gateway, phantom tokens and auth).
function M.final_answer() end

--- Connects to the desktop. For `balancer_by_lua` (upstreams.conf).
function M.connect() end

--- Refuses an answer that says that it is too large. For `header_filter_by_lua` (outbound.conf).
function M.bound_head() end

--- Drops what is too much of an answer. For `body_filter_by_lua` (outbound.conf).
function M.bound_body() end

return M
