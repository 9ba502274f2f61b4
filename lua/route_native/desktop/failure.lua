-- The answers of the gateway when the way to a desktop fails: a small page for a person, JSON for a program, and the
-- same code in both and in the access log.

local cjson = require "cjson.safe"
local access_log = require "route_native.core.access_log"
local client = require "route_native.core.client"
local metrics = require "route_native.core.metrics"
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
@media (prefers-color-scheme: dark) {
  body { background: #1b1b1b; color: #ddd } a { color: #8ab4f8 } small { color: #999 }
}
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
    if not ngx.var.upstream_status then
        -- It is refused. The failure of an upstream is counted with its answer (core/final_answer.lua).
        metrics.refused("desktop", status or answer[1], reason or code)
    end
    ngx.header["Retry-After"] = answer[2]
    if client.wants_page() then
        ngx.header["Content-Security-Policy"] = POLICY
        return response.finish(status or answer[1], pages[code], "text/html; charset=utf-8")
    end
    return response.finish(status or answer[1], objects[code])
end

return _M
