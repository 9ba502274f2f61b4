--- Holds the functions that the shipped `conf/` calls besides the capabilities, one line of `conf/` each. The modules
-- behind it are internal and may move.
-- @module route_native.hooks

local admin = require "route_native.control.admin"
local answer = require "route_native.desktop.answer"
local balancer = require "route_native.desktop.balancer"
local cookies = require "route_native.desktop.cookies"
local counters = require "route_native.core.metrics"
local failed = require("route_native.desktop.failed").answer
local final_answer = require "route_native.core.final_answer"
local limits = require "route_native.desktop.limits"
local metrics = require "route_native.control.metrics"
local outbound = require "route_native.http.outbound"
local query = require "route_native.desktop.query"
local ready = require "route_native.control.ready"
local response = require "route_native.core.response"
local revocation = require "route_native.revocation"
local start = require "route_native.core.start"

return {
    --- Runs what an `init_by_lua` block configures: a mistake in a setting is one sentence in the log, without a
    -- traceback. Prepares the revocations, if revocation_http.conf is included and `setup` has not prepared them. For
    -- `init_by_lua` (sites-enabled/routehttp.conf, tunnel.conf, and the examples).
    -- @function start
    -- @tparam function setup calls the setup of the capabilities
    start = function(setup)
        return start.run(function()
            metrics.forget()
            metrics.setup(require("route_native")._VERSION)
            setup()
            if revocation.prepare() then
                admin.setup()
            end
        end)
    end,

    --- Starts what each worker does beside requests: it brings the revocations, and gathers the metrics. For
    -- `init_worker_by_lua` (revocation_http.conf).
    -- @function start_worker
    start_worker = function()
        revocation.start()
        metrics.start_worker()
    end,

    --- Brings the last metrics of a worker to the others. For `exit_worker_by_lua` (revocation_http.conf).
    -- @function stop_worker
    stop_worker = metrics.stop_worker,

    --- Answers 200 if keys, dictionaries, JWK Sets and stores are there, otherwise 503 with the reason as JSON. For
    -- `content_by_lua` (route.conf, tunnel.conf, and the examples).
    -- @function ready
    ready = ready.answer,

    --- Removes the token from the query and from nginx's memory. For `set_by_lua` (query_token.conf).
    -- @function take_query_token
    -- @treturn string|nil the token; several are joined by a comma
    take_query_token = query.take,

    --- Overwrites the tokens that stand elsewhere in the URL in nginx's memory. For `set_by_lua` (query_token.conf).
    -- @function scrub_target
    scrub_target = query.scrub_target,

    --- Overwrites tokens in the Referer header in nginx's memory. For `set_by_lua` (query_token.conf).
    -- @function scrub_referer
    scrub_referer = query.scrub_referer,

    --- Answers / and /status.json of the admin API. For `content_by_lua` (admin.conf).
    -- @function admin_status
    admin_status = function()
        return admin.status(require("route_native")._VERSION)
    end,

    --- Answers /revocations of the admin API. For `content_by_lua` (admin.conf).
    -- @function admin_revocations
    admin_revocations = admin.revocations,

    --- Answers /metrics of the admin API. For `content_by_lua` (admin.conf).
    -- @function admin_metrics
    admin_metrics = admin.metrics,

    --- Ends a request that nginx refused with 400 (desktop_server.conf).
    -- @function bad_request
    bad_request = response.bad_request,

    --- Ends a request with the 401 of a bad token (desktop_server.conf).
    -- @function invalid_token
    invalid_token = response.invalid_token,

    --- Ends with 426 a request that opens no WebSocket at a WebSocket endpoint (desktop_server.conf).
    -- @function upgrade_required
    upgrade_required = function()
        counters.refused("desktop", 426, "upgrade_required")
        return response.upgrade_required()
    end,

    --- Returns the Cookie header for a desktop. For `set_by_lua` (runtime/desktop.conf).
    -- @function cookies_for_desktop
    -- @tparam string names names of the cookies that pass, separated by commas
    -- @treturn string the header; "" if none is left
    cookies_for_desktop = cookies.sent,

    --- Refuses a desktop's answer that is not final, removes the cookies that a desktop may not set, and chooses the
    -- subprotocol `route_native` for a desktop without any, if the page offered it. For
    -- `header_filter_by_lua` (runtime/desktop.conf).
    -- @function desktop_answer
    -- @tparam string names names of the cookies that pass, separated by commas; "" if none does
    desktop_answer = answer.check,

    --- Answers in the place of nginx's own 502 and 504, with a page or with JSON. For `content_by_lua`
    -- (desktop_server.conf).
    -- @function upstream_failed
    upstream_failed = failed,

    --- Refuses an upstream's answer that is not final: an interim one (1xx), after which nginx would send the following
    -- bytes unchanged, or one without a status line. The 101 that opens a WebSocket passes. For `header_filter_by_lua`
    -- (the sites of the gateway, phantom tokens and auth).
    -- @function final_answer
    -- @treturn boolean whether the answer is final
    final_answer = final_answer.check,

    --- Takes an ended request out of the counts of open ones (ROUTE_LIMIT_…). For `log_by_lua` (runtime/http.conf).
    -- @function request_ended
    request_ended = limits.release,

    --- Connects to the desktop. For `balancer_by_lua` (upstreams.conf).
    -- @function connect
    connect = balancer.connect,

    --- Refuses an answer whose Content-Length is too large. For `header_filter_by_lua` (outbound.conf).
    -- @function bound_head
    bound_head = outbound.bound_head,

    --- Drops the part of an answer that is beyond the limit. For `body_filter_by_lua` (outbound.conf).
    -- @function bound_body
    bound_body = outbound.bound_body,
}
