-- The way out of a request: a question to another server, through nginx's own upstreams.
--
-- conf/phantom_token.conf holds the two internal locations. nginx brings the connections kept, TLS, names and timeouts;
-- this module says what is asked and bounds what comes back. Without that file, direct.lua asks.

local direct = require "route_native.http.direct"
local http_answer = require "route_native.http.answer"
local reason = require "route_native.core.status"
local subrequest = require "route_native.core.subrequest"

local ngx = ngx
local capture = ngx.location.capture
local match = string.match

local VERIFIED, UNVERIFIED = "/.route_native/outbound/verified", "/.route_native/outbound/unverified"

-- The longest answer that is kept, in bytes; src/introspection reads no more.
local MAX_BYTES = 64 * 1024
-- More than this is not even waited for, nor a body that takes longer (seconds). nginx can then only drop the client's
-- connection too, so this is for a server that never ends.
local MAX_PATIENCE_BYTES, MAX_PATIENCE = 16 * 1024 * 1024, 4

local _M = {}

-- Takes a URL apart: { text, scheme, host, port, authority, rest }. Returns nil and a sentence when it cannot be used.
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
    return { text = text, scheme = scheme:lower(), host = host:lower(), port = port, authority = authority,
        rest = rest }
end

-- Where nginx is to connect: an upstream block by its name, else the URL's own host. nginx resolves names through its
-- resolver alone, which does not know localhost.
local function address(url, upstream)
    if upstream then
        return upstream
    end
    local host = url.host == "localhost" and "127.0.0.1" or url.host
    return url.port == "" and host or host .. ":" .. url.port
end

-- What each upstream block is used for, by its name.
local uses = {}

-- nginx finds a kept connection by its address alone. One that was opened without TLS, under another name or without a
-- look at the certificate must never carry a question that counts on them. Returns nil and a sentence for a second use.
local function reserve(upstream, url, verify_ssl)
    local name = upstream:lower()
    local use = ("%s://%s with verify_ssl = %s"):format(url.scheme, url.host, tostring(verify_ssl))
    uses[name] = uses[name] or use
    if uses[name] ~= use then
        return nil, ("upstream %s is in use already for %s, and cannot be for %s: give this one a block of its own")
            :format(upstream, uses[name], use)
    end
    return true
end

-- Makes a target of { url (from parse_url), upstream, verify_ssl, accept, content_type, authorization }, once for each
-- configuration: with the variables that carry a question to its location. Returns nil and a sentence when its
-- upstream block is in use for something else.
function _M.target(target)
    local url = target.url
    if target.upstream then
        local ok, sentence = reserve(target.upstream, url, target.verify_ssl)
        if not ok then
            return nil, sentence
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
    return ngx.var.route_outbound == "1"
end

-- The phases that can wait for another server.
local PHASES = { rewrite = true, access = true, content = true }

-- Whether this request can ask a target. Returns nil and a sentence when it cannot.
function _M.possible(target)
    local phase = ngx.get_phase()
    if not PHASES[phase] then
        return nil, "another server can only be asked in the rewrite, access and content phases, and this is " .. phase
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

-- Headers under their lower-case names; several of one name are joined by commas (RFC 9110 §5.3).
local function headers_of(answer)
    local headers = http_answer.headers()
    for name, value in pairs(answer.header) do
        headers:add(name, type(value) == "table" and table.concat(value, ",") or value)
    end
    return headers:joined()
end

local function ask_directly(target, body)
    local answer, sentence, is_answers_fault = direct.ask(target, body, MAX_BYTES)
    if answer then
        return answer
    end
    return nil, sentence, is_answers_fault and reason.SERVER_ANSWER_INVALID or reason.SERVER_UNREACHABLE
end

-- Asks. Returns { status, headers, body } with lower-case names of headers, or nil, a sentence and the reason. With a
-- body the question is a POST.
function _M.ask(target, body)
    local possible, sentence = _M.possible(target)
    if not possible then
        return nil, sentence, reason.SETTING_INVALID
    elseif not is_included() then
        return ask_directly(target, body)
    end
    local seen = {}
    local answer = capture(target.verify_ssl and VERIFIED or UNVERIFIED, {
        method = body and ngx.HTTP_POST or ngx.HTTP_GET,
        body = body,
        vars = target.variables,
        ctx = seen,
    })
    if answer.status == 502 or answer.status == 504 then
        return nil, "the server cannot be reached, or does not answer in time and in HTTP", reason.SERVER_UNREACHABLE
    elseif seen.too_large then
        return nil, "the answer is larger than " .. MAX_BYTES .. " bytes", reason.SERVER_ANSWER_INVALID
    elseif answer.truncated then
        return nil, "the answer is not whole", reason.SERVER_ANSWER_INVALID
    end
    return { status = answer.status, headers = headers_of(answer), body = answer.body }
end

-- For header_filter_by_lua: refuses an answer that says that it is too large.
function _M.bound_head()
    local seen = ngx.ctx
    seen.bytes, seen.began = 0, ngx.now()
    if (tonumber(ngx.header["Content-Length"]) or 0) > MAX_BYTES then
        seen.too_large = true
        return ngx.exit(ngx.ERROR)
    end
end

-- For body_filter_by_lua: lets go of what is too much.
function _M.bound_body()
    local seen = ngx.ctx
    if not seen.bytes then
        return
    end
    seen.bytes = seen.bytes + #ngx.arg[1]
    if seen.bytes > MAX_BYTES then
        seen.too_large = true
        ngx.arg[1] = nil
    end
    if seen.bytes > MAX_PATIENCE_BYTES or (ngx.now() - seen.began > MAX_PATIENCE and not ngx.arg[2]) then
        ngx.log(ngx.ERR, "route_native: an answer from ", ngx.var.route_outbound_host, " does not end; given up")
        return ngx.ERROR
    end
end

return _M
