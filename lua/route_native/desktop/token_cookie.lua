-- The cookie with a desktop's token: finds it in a request, and exchanges a token of the query for it. $token_cookie
-- names the cookie, and $token_query says what a token in the query is good for.
--
-- After the exchange the token has left the browser's history and the Referer of what the page loads. Scripts cannot
-- read the cookie, and no desktop gets it (cookies.lua).

local client = require "route_native.core.client"
local cookie = require "route_native.core.cookie"
local library = require "route_native.core.ffi"
local origin = require "route_native.desktop.origin"
local request = require "route_native.core.request"
local response = require "route_native.core.response"
local scan = require "route_native.core.scan"
local statuses = require "route_native.core.status"

local has_value = request.has_value
local find, match = string.find, string.match
local ngx = ngx

-- Browsers drop a larger cookie. Some count the attributes too.
local MAX_COOKIE_BYTES, ATTRIBUTES_BYTES = 4096, 64
-- Different values of one cookie are ambiguous: two are enough to know.
local MAX_VALUES = 2

local _M = {}

-- Returns the cookie's full name. Over HTTPS, its prefix makes browsers refuse the cookie from other hosts and without
-- encryption.
local function full_name(name)
    return cookie.full_name(name, client.uses_tls())
end

-- Returns the different values of the cookie, or nil if the request has none, or the site has no such cookie.
function _M.find(r)
    local name = has_value(r, "token_cookie") and request.found_text()
    local header = name and ngx.var.http_cookie
    if not header then
        return nil
    end
    local values = scan.cookies(header, full_name(name), MAX_VALUES)
    return #values > 0 and values or nil
end

-- Returns whether tokens in the query are no credential here.
function _M.is_query_off(r)
    return has_value(r, "token_query") and request.found_text() == "off"
end

-- Returns whether a token of this request's query is to be exchanged: the site wants it, and a browser shows a page
-- that no other site has asked for. (Another site could otherwise plant a cookie that leads to its own desktop.)
function _M.is_exchange(r)
    return has_value(r, "token_query") and request.found_text() == "exchange" and has_value(r, "token_cookie")
        and ngx.req.get_method() == "GET" and client.wants_page() and not client.is_cross_site(true, origin.listed())
end

-- Returns the path and query of the request without its token.
local function clean_url()
    local var = ngx.var
    local uri = var.route_uri
    if uri and uri ~= "" then
        return uri
    end
    -- A configuration without $route_uri: the token is removed from nginx's own query.
    local args = var.args
    return match(var.request_uri, "^[^?]*") .. (args and args ~= "" and "?" .. args or "")
end

-- Sets the cookie to a token that was accepted, and redirects to the same URL without it. Does nothing if the cookie
-- would be too large or the URL leads elsewhere: the request then goes on with its token.
function _M.exchange(token)
    local url, name = clean_url(), full_name(ngx.var.token_cookie)
    token = match(token, "^[Bb][Ee][Aa][Rr][Ee][Rr][ \t]+(.*)$") or token
    if #name + #token + ATTRIBUTES_BYTES > MAX_COOKIE_BYTES or find(token, "[^%w._-]")
        or library.rn_path_check(url, #url) ~= statuses.OK then
        return
    end
    cookie.set(name, token, { secure = client.uses_tls() })
    ngx.header["Location"] = url
    return response.finish(ngx.HTTP_SEE_OTHER, "", "text/plain")
end

return _M
