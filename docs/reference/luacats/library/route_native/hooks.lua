---@meta route_native.hooks
-- `make docs` writes this file from the comments in `lua/route_native/hooks.lua`.

--- Holds the functions that the shipped `conf/` calls besides the capabilities, one line of `conf/` each. The modules
--- behind it are internal and may move.
---@class route_native.hooks
local M = {}

--- Runs what an `init_by_lua` block configures: a mistake in a setting is one sentence in the log, without a
--- traceback. Prepares the revocations, if revocation_http.conf is included and `setup` has not prepared them. For
--- `init_by_lua` (sites-enabled/routehttp.conf, tunnel.conf, and the examples).
---@param setup function calls the setup of the capabilities
function M.start(setup) end

--- Starts what each worker does beside requests: it brings the revocations, and gathers the metrics. For
--- `init_worker_by_lua` (revocation_http.conf).
function M.start_worker() end

--- Brings the last metrics of a worker to the others. For `exit_worker_by_lua` (revocation_http.conf).
function M.stop_worker() end

--- Answers 200 if keys, dictionaries, JWK Sets and stores are there, otherwise 503 with the reason as JSON. For
--- `content_by_lua` (route.conf, tunnel.conf, and the examples).
function M.ready() end

--- Removes the token from the query and from nginx's memory. For `set_by_lua` (query_token.conf).
---@return string|nil # the token; several are joined by a comma
function M.take_query_token() end

--- Overwrites the tokens that stand elsewhere in the URL in nginx's memory. For `set_by_lua` (query_token.conf).
function M.scrub_target() end

--- Overwrites tokens in the Referer header in nginx's memory. For `set_by_lua` (query_token.conf).
function M.scrub_referer() end

--- Answers / and /status.json of the admin API. For `content_by_lua` (admin.conf).
function M.admin_status() end

--- Answers /revocations of the admin API. For `content_by_lua` (admin.conf).
function M.admin_revocations() end

--- Answers /metrics of the admin API. For `content_by_lua` (admin.conf).
function M.admin_metrics() end

--- Ends a request that nginx refused with 400 (desktop_server.conf).
function M.bad_request() end

--- Ends a request with the 401 of a bad token (desktop_server.conf).
function M.invalid_token() end

--- Ends with 426 a request that opens no WebSocket at a WebSocket endpoint (desktop_server.conf).
function M.upgrade_required() end

--- Returns the Cookie header for a desktop. For `set_by_lua` (runtime/desktop.conf).
---@param names string names of the cookies that pass, separated by commas
---@return string # the header; "" if none is left
function M.cookies_for_desktop(names) end

--- Refuses a desktop's answer that is not final, removes the cookies that a desktop may not set, and chooses the
--- subprotocol `route_native` for a desktop without any, if the page offered it. For
--- `header_filter_by_lua` (runtime/desktop.conf).
---@param names string names of the cookies that pass, separated by commas; "" if none does
function M.desktop_answer(names) end

--- Answers in the place of nginx's own 502 and 504, with a page or with JSON. For `content_by_lua`
--- (desktop_server.conf).
function M.upstream_failed() end

--- Refuses an upstream's answer that is not final: an interim one (1xx), after which nginx would send the following
--- bytes unchanged, or one without a status line. The 101 that opens a WebSocket passes. For `header_filter_by_lua`
--- (the sites of the gateway, phantom tokens and auth).
---@return boolean # whether the answer is final
function M.final_answer() end

--- Takes an ended request out of the counts of open ones (ROUTE_LIMIT_…). For `log_by_lua` (runtime/http.conf).
function M.request_ended() end

--- Connects to the desktop. For `balancer_by_lua` (upstreams.conf).
function M.connect() end

--- Refuses an answer whose Content-Length is too large. For `header_filter_by_lua` (outbound.conf).
function M.bound_head() end

--- Drops the part of an answer that is beyond the limit. For `body_filter_by_lua` (outbound.conf).
function M.bound_body() end

return M
