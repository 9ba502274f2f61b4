--- What the shipped configuration calls besides the capabilities: one line of `conf/` for each function. This is the
-- only module that `conf/` names for its own needs; what is behind it may move.
-- @module route_native.hooks

local answer = require "route_native.desktop.answer"
local balancer = require "route_native.desktop.balancer"
local cookies = require "route_native.desktop.cookies"
local outbound = require "route_native.http.outbound"
local query = require "route_native.desktop.query"
local response = require "route_native.core.response"

return {
    --- Takes the token out of the query and out of nginx's memory. For `set_by_lua` (query_token.conf).
    -- @function take_query_token
    -- @treturn string|nil the token; several are joined by a comma
    take_query_token = query.take,

    --- Overwrites the query of the Referer header in nginx's memory. For `set_by_lua` (query_token.conf).
    -- @function scrub_referer
    scrub_referer = query.scrub_referer,

    --- Ends a request that nginx refused with 400 (sites-enabled/routehttp.conf).
    -- @function bad_request
    bad_request = response.bad_request,

    --- Ends a request with 401, as one with a bad token (sites-enabled/routehttp.conf).
    -- @function invalid_token
    invalid_token = response.invalid_token,

    --- Ends a request of a WebSocket endpoint that opens no WebSocket with 426 (sites-enabled/routehttp.conf).
    -- @function upgrade_required
    upgrade_required = response.upgrade_required,

    --- Returns the Cookie header for a desktop. For `set_by_lua` (runtime/desktop.conf).
    -- @function cookies_for_desktop
    -- @tparam string names names of the cookies that pass, with commas between
    -- @treturn string the header; "" if none is left
    cookies_for_desktop = cookies.sent,

    --- Refuses an answer of a desktop that is no final one, and leaves only the cookies in it that a desktop may set.
    -- For `header_filter_by_lua` (runtime/desktop.conf).
    -- @function desktop_answer
    -- @tparam string names names of the cookies that pass, with commas between; "" if none does
    desktop_answer = answer.check,

    --- Refuses an answer of any upstream that is no final one: an interim one (1xx), of which nginx would send on what
    -- follows as it is, or one without a status line. The 101 that opens a WebSocket passes. For `header_filter_by_lua`
    -- (border_proxy.conf, and the sites of the gateway, phantom tokens and auth).
    -- @function final_answer
    final_answer = answer.final,

    --- Connects to the desktop. For `balancer_by_lua` (upstreams.conf).
    -- @function connect
    connect = balancer.connect,

    --- Refuses an answer that says that it is too large. For `header_filter_by_lua` (outbound.conf).
    -- @function bound_head
    bound_head = outbound.bound_head,

    --- Drops what is too much of an answer. For `body_filter_by_lua` (outbound.conf).
    -- @function bound_body
    bound_body = outbound.bound_body,
}
