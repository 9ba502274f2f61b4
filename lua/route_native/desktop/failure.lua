-- Answers when the way to a desktop fails: a small page for a person, JSON for a program, and the same code in both and
-- in the access log.
--
-- Only the gateway's own failures get here. nginx passes a desktop's own 502 on as it is.

local cjson = require "cjson.safe"
local access_log = require "route_native.core.access_log"
local client = require "route_native.core.client"
local response = require "route_native.core.response"
local texts_of = require("route_native.desktop.texts").load

local ngx = ngx

-- Status and Retry-After in seconds, by code. Without a Retry-After, a new attempt alone helps nobody.
local ANSWERS = {
    desktop_starting = { 503, 5 },
    desktop_refused = { 502, 5 },
    desktop_unresolved = { 502, 10 },
    desktop_unreachable = { 504, 10 },
    desktop_timeout = { 504 },
    desktop_answer_invalid = { 502 },
    desktop_tls_failed = { 502 },
    desktop_busy = { 503, 1 },
    too_many_requests = { 429, 1 },
    unavailable = { 502, 5 },
}

-- The limit of the connection that tells a failure of TCP from one of TLS, in milliseconds.
local PROBE_MS = 1000

-- The page has no script and loads nothing. An empty link is the page's own address.
local PAGE = [[
<!doctype html>
<html lang="%s">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>%s</title>
<style>
:root { color-scheme: light dark }
body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 20vh auto 0; padding: 0 1rem;
  background: #fff; color: #222 }
h1 { font-size: 1.5rem }
a { color: #0b57d0; margin-right: 1.5rem }
small { color: #666 }
@media (prefers-color-scheme: dark) { body { background: #1b1b1b; color: #ddd } a { color: #8ab4f8 } small { color: #999 } }
</style>
<main>
<h1>%s</h1>
<p>%s</p>
<p><a href="">%s</a><a href="/" target="_top">%s</a></p>
<p><small>%s</small></p>
</main>
]]
local POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    .. "frame-ancestors 'self'"

local ESCAPES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }

local _M = {}

-- The finished page and JSON of each code.
local pages, objects = {}, {}

local function escaped(text)
    return (text:gsub('[&<>"]', ESCAPES))
end

-- Prepares all answers. `path` is the file with the texts, or nil. setup() calls it once.
function _M.start(path)
    local texts = texts_of(path)
    for code in pairs(ANSWERS) do
        local title, text = escaped(texts[code].title), escaped(texts[code].text)
        pages[code] = PAGE:format(texts.language, title, title, text, escaped(texts.again), escaped(texts.back), code)
        -- The quotes are those of the object's format.
        objects[code] = response.json(code, cjson.encode(texts[code].title .. ". " .. texts[code].text):sub(2, -2))
    end
end

-- Ends the request with the answer of a code. `status` and `reason`, which the access log gets, are the code's by
-- default.
function _M.finish(code, status, reason)
    local answer = ANSWERS[code]
    access_log.reason(reason or code)
    ngx.header["Retry-After"] = answer[2]
    if client.wants_page() then
        ngx.header["Content-Security-Policy"] = POLICY
        return response.finish(status or answer[1], pages[code], "text/html; charset=utf-8")
    end
    return response.finish(status or answer[1], objects[code])
end

-- Returns whether the last attempt had a connection, over TLS a checked one.
local function was_connected(var)
    local time = (var.upstream_connect_time or ""):match("([^%s,:]+)$")
    return time ~= nil and time ~= "-"
end

-- Returns whether the last attempt had an address to connect to.
local function was_resolved(var)
    return (var.upstream_addr or ""):find(":%d+$") ~= nil
end

-- Returns whether something listens at the desktop's port. nginx does not say whether TCP or TLS failed.
local function is_listening(var)
    local socket = ngx.socket.tcp()
    socket:settimeout(PROBE_MS)
    local ok = socket:connect(var.target, tonumber(var.desktop_port))
    socket:close()
    return ok ~= nil
end

-- Returns the code for what nginx has answered with 502 or 504.
local function code_of(status, var)
    if not var.target or var.target == "" then
        return "unavailable"
    elseif was_connected(var) then
        return status == ngx.HTTP_GATEWAY_TIMEOUT and "desktop_timeout" or "desktop_answer_invalid"
    elseif status == ngx.HTTP_GATEWAY_TIMEOUT then
        return "desktop_unreachable"
    elseif not was_resolved(var) then
        return "desktop_unresolved"
    end
    return var.desktop_scheme == "https" and is_listening(var) and "desktop_tls_failed" or "desktop_refused"
end

-- Ends a request for which nginx has no answer of an upstream. Runs in content_by_lua, with the status of nginx's own.
function _M.answer()
    local status = ngx.status
    local code = code_of(status, ngx.var)
    return _M.finish(code, code == "unavailable" and status or nil)
end

return _M
