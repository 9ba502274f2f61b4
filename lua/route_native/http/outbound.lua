-- Sends requests to other servers through nginx's own upstreams.
--
-- conf/phantom_token.conf has two internal locations for them. nginx provides keepalive, TLS, name resolution and
-- timeouts. This module makes the requests and bounds the answers. Without that file, direct.lua sends the requests.

local direct = require "route_native.http.direct"
local http_answer = require "route_native.http.answer"
local statuses = require "route_native.core.status"
local subrequest = require "route_native.core.subrequest"
local trace = require "route_native.core.trace"

local ngx = ngx
local capture = ngx.location.capture
local match = string.match

-- The value of $route_outbound in a phantom_token.conf that has variables for the trace. A copy of 0.1's has 1.
local KNOWS_TRACE = "2"

local VERIFIED, UNVERIFIED = "/.route_native/outbound/verified", "/.route_native/outbound/unverified"

-- The limit of an answer, in bytes. src/introspection reads no more.
local MAX_BYTES = 64 * 1024
-- The limits of a body whose rest is dropped, in bytes and seconds. Beyond them nginx can only close the client's
-- connection too, so they are for a server that never stops sending.
local MAX_DRAINED_BYTES, MAX_SECONDS = 16 * 1024 * 1024, 4

local _M = {}

-- Parses a URL. Returns { text, scheme, host, port, authority, rest, address, shown }, or nil and an error. `address`
-- is the host to connect to: nginx's resolver does not know localhost. `shown` is for logs, without the query, which
-- may hold a secret.
function _M.parse_url(text)
    local scheme, authority, rest = match(text, "^([Hh][Tt][Tt][Pp][Ss]?)://([^/?#]+)([^#%s%c]*)$")
    if not scheme then
        return nil, "must be a URL that starts with http:// or https://, without blanks and fragment"
    end
    local host, port = match(authority, "^([%w.-]+):?(%d*)$")
    if not host then
        host, port = match(authority, "^(%[[%x:.]+%]):?(%d*)$")
    end
    if not host or (port ~= "" and (tonumber(port) < 1 or tonumber(port) > 65535)) then
        return nil, "must name a host, with or without a port, and no user"
    end
    if not match(rest, "^/") then
        rest = "/" .. rest
    end
    scheme, host = scheme:lower(), host:lower()
    return {
        text = text, scheme = scheme, host = host, port = port, authority = authority, rest = rest,
        address = host == "localhost" and "127.0.0.1" or host,
        shown = scheme .. "://" .. authority .. match(rest, "^[^?]*"),
    }
end

-- Returns the address to connect to: the name of an upstream block, or the URL's own host and port.
local function address(url, upstream)
    return upstream or (url.port == "" and url.address or url.address .. ":" .. url.port)
end

-- The purpose of each upstream block, by its name.
local used_for = {}

-- Reserves an upstream block for one purpose. Returns nil and an error if it has another one. nginx reuses a kept
-- connection by its address alone, so a request that needs TLS, a name and a verified certificate could otherwise use a
-- connection without them.
local function reserve(upstream, url, verify_ssl)
    local name = upstream:lower()
    local purpose = ("%s://%s with verify_ssl = %s"):format(url.scheme, url.host, tostring(verify_ssl))
    used_for[name] = used_for[name] or purpose
    if used_for[name] ~= purpose then
        return nil, ("upstream %s is in use already for %s, and cannot be for %s: give this one a block of its own")
            :format(upstream, used_for[name], purpose)
    end
    return true
end

-- Completes a target, { url (from parse_url), upstream, verify_ssl, accept, content_type, authorization }, with the
-- nginx variables of its requests. Returns the target, or nil and an error if its upstream block has another purpose.
-- Call it once for each configuration.
function _M.target(target)
    local url = target.url
    if target.upstream then
        local ok, err = reserve(target.upstream, url, target.verify_ssl)
        if not ok then
            return nil, err
        end
    end
    target.variables = {
        route_outbound_url = url.scheme .. "://" .. address(url, target.upstream) .. url.rest,
        route_outbound_host = url.authority,
        route_outbound_name = url.host,
        route_outbound_accept = target.accept,
        route_outbound_authorization = target.authorization or "",
        route_outbound_content_type = target.content_type or "",
    }
    return target
end

local function is_included()
    if ngx.get_phase() == "timer" then
        return false
    end
    local version = ngx.var.route_outbound
    return version == KNOWS_TRACE or version == "1"
end

-- Returns whether a timer of this request may ask in place of the request, and so goes on when the client leaves.
function _M.may_use_timer(target)
    return not target.upstream and not is_included()
end

-- The phases that can wait for an answer. A timer has no request, so direct.lua sends what it asks.
local PHASES = { rewrite = true, access = true, content = true, timer = true }

-- Returns true if this request can ask a target, or nil and an error.
function _M.possible(target)
    local phase = ngx.get_phase()
    if not PHASES[phase] then
        return nil, "another server can only be asked in the rewrite, access and content phases, or in a timer, and "
            .. "this is " .. phase
    elseif not is_included() then
        if target.upstream then
            return nil, "an upstream block is reached through `include phantom_token.conf;` alone, which this server "
                .. "block lacks"
        end
    elseif not subrequest.is_possible() then
        return nil, "this lua-nginx-module cannot ask another server through phantom_token.conf within an HTTP/2 "
            .. "request: serve HTTP/1.1 here, leave the file out, or use " .. subrequest.NEEDED .. " or newer"
    end
    return true
end

-- Returns the headers of a subrequest's answer by their lower-case names.
local function headers_of(answer)
    local headers = http_answer.headers()
    for name, value in pairs(answer.header) do
        headers:add(name, type(value) == "table" and table.concat(value, ",") or value)
    end
    return headers:joined()
end

-- Sends a request through direct.lua. Returns what ask() returns.
local function ask_direct(target, body)
    local answer, err, is_answer_wrong = direct.ask(target, body, MAX_BYTES)
    if answer then
        return answer
    end
    return nil, err, is_answer_wrong and statuses.SERVER_ANSWER_INVALID or statuses.SERVER_UNREACHABLE
end

-- Sends a request to a target: a POST with a body, else a GET. Returns { status, headers, body } with headers by their
-- lower-case names, or nil, an error and the status.
function _M.ask(target, body)
    local possible, err = _M.possible(target)
    if not possible then
        return nil, err, statuses.SETTING_INVALID
    elseif not is_included() then
        return ask_direct(target, body)
    end
    local state, variables = {}, target.variables
    if ngx.var.route_outbound == KNOWS_TRACE then
        variables.route_outbound_traceparent, variables.route_outbound_tracestate = trace.current()
    end
    local answer = capture(target.verify_ssl and VERIFIED or UNVERIFIED, {
        method = body and ngx.HTTP_POST or ngx.HTTP_GET,
        body = body,
        vars = variables,
        ctx = state,
    })
    if answer.status == 502 or answer.status == 504 then
        return nil, "the server cannot be reached, or does not answer in time and in HTTP", statuses.SERVER_UNREACHABLE
    elseif state.too_large then
        return nil, "the answer is larger than " .. MAX_BYTES .. " bytes", statuses.SERVER_ANSWER_INVALID
    elseif answer.truncated then
        return nil, "the answer is not whole", statuses.SERVER_ANSWER_INVALID
    end
    return { status = answer.status, headers = headers_of(answer), body = answer.body }
end

-- Refuses an answer whose Content-Length is too large. Runs in header_filter_by_lua.
function _M.bound_head()
    local state = ngx.ctx
    state.bytes, state.began = 0, ngx.now()
    if (tonumber(ngx.header["Content-Length"]) or 0) > MAX_BYTES then
        state.too_large = true
        return ngx.exit(ngx.ERROR)
    end
end

-- Drops the part of a body that is beyond the limit. Runs in body_filter_by_lua.
function _M.bound_body()
    local state = ngx.ctx
    if not state.bytes then
        return
    end
    state.bytes = state.bytes + #ngx.arg[1]
    if state.bytes > MAX_BYTES then
        state.too_large = true
        ngx.arg[1] = nil
    end
    if state.bytes > MAX_DRAINED_BYTES or (ngx.now() - state.began > MAX_SECONDS and not ngx.arg[2]) then
        ngx.log(ngx.ERR, "route_native: an answer from ", ngx.var.route_outbound_host, " does not end; given up")
        return ngx.ERROR
    end
end

return _M
