-- What the shipped configuration calls besides the capabilities: one line in conf/ for each function.
--
-- This is the only module that conf/ names for its own needs. What is behind it may move.

local balancer = require "route_native.desktop.balancer"
local outbound = require "route_native.http.outbound"
local query = require "route_native.desktop.query"
local response = require "route_native.core.response"

return {
    -- query_token.conf: takes the token out of the query and returns it, or nil.
    take_query_token = query.take,
    -- query_token.conf: overwrites the query of the Referer header.
    scrub_referer = query.scrub_referer,
    -- sites-enabled/routehttp.conf: ends a request that nginx refused with 400.
    bad_request = response.bad_request,
    -- sites-enabled/routehttp.conf: ends a request with 401, as one with a bad token.
    invalid_token = response.invalid_token,
    -- upstreams.conf: connects to the desktop, for balancer_by_lua.
    connect = balancer.connect,
    -- outbound.conf: refuses an answer that says that it is too large, for header_filter_by_lua.
    bound_head = outbound.bound_head,
    -- outbound.conf: drops what is too much of an answer, for body_filter_by_lua.
    bound_body = outbound.bound_body,
}
