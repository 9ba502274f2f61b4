-- Answers for people and for programs: the same refusal as a page or as JSON, by what the client asks for. Border
-- sessions and OpenID Connect share them. No cache may store them.

local client = require "route_native.core.client"
local response = require "route_native.core.response"

local ngx = ngx

-- The headers that tell pages from scripts (client.lua).
local VARY = "Accept, Sec-Fetch-Mode, X-Requested-With"

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;" }

local _M = {}

local PAGE = [[<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>%s</title></head>
<body><h1>%s</h1><p>%s</p>%s</body></html>
]]

-- Returns a text for HTML.
function _M.escape(text)
    return (text:gsub("[&<>\"']", ENTITIES))
end

-- Returns the text of a page. `more` is HTML behind the message.
function _M.html(title, message, more)
    return PAGE:format(title, title, message, more or "")
end

-- Ends the request with a page. `more` is HTML behind the message.
function _M.finish(status, title, message, more)
    ngx.header["Vary"] = VARY
    return response.finish(status, _M.html(title, message, more), "text/html; charset=utf-8")
end

-- Returns a function that ends a request, with a page or with JSON. Both bodies are built once.
function _M.both(status, code, title, message)
    local html = _M.html(title, message)
    local json = response.json(code, message)
    return function()
        ngx.header["Vary"] = VARY
        if client.wants_page() then
            return response.finish(status, html, "text/html; charset=utf-8")
        end
        return response.finish(status, json)
    end
end

local EXPIRED = '{"code":"SESSION_EXPIRED"}'

-- Ends a script's request without a session. A script cannot fill in a form.
function _M.session_expired()
    -- RFC 9110 requires a challenge with a 401. For an unknown scheme a browser shows no dialog.
    ngx.header["WWW-Authenticate"] = ngx.header["WWW-Authenticate"] or "Session"
    ngx.header["Vary"] = VARY
    return response.finish(401, EXPIRED)
end

-- Redirects to a path of this origin: 302 after a GET, 303 otherwise. A path, not a URL, keeps the host name that the
-- client uses.
function _M.redirect(path)
    ngx.header["Location"] = path
    ngx.header["Vary"] = VARY
    return response.finish(ngx.req.get_method() == "GET" and 302 or 303, "", "text/plain")
end

return _M
