-- Answers other proxies that ask whether a request may pass: auth_request of an nginx, ingress-nginx, forward_auth of
-- Caddy, ForwardAuth of Traefik, HAProxy. auth, OpenID Connect and border sessions share this.
--
--     202  the request may pass; the headers of the answer tell the upstream who the user is
--     401  it needs a login; X-Auth-Redirect is where a page logs in
--     302  the same, for proxies that give our answer to the client: Caddy and Traefik
--     403  it is not allowed
--
-- What the proxy says about the original request decides nothing. A trusted proxy's X-Forwarded-* say where a login
-- leads back to, and whether the request can be repeated. Those of anybody else are ignored.

local access_log = require "route_native.core.access_log"
local claim_headers = require "route_native.core.claim_headers"
local client = require "route_native.core.client"
local page = require "route_native.core.page"
local response = require "route_native.core.response"

local ngx = ngx
local match = string.match

-- A longer URL does not fit into the cookie of a login.
local MAX_URL_BYTES = 2048

local _M = {}

local function is_trusted()
    return (ngx.var.trusted_proxy or "") ~= ""
end

-- Returns the URL of the original request, or nil if no trusted proxy says it.
function _M.original_url()
    local var = ngx.var
    if not is_trusted() then
        return nil
    end
    local url = var.http_x_original_url
    if not url then
        local uri = var.http_x_forwarded_uri or var.http_x_original_uri
        url = uri and match(uri, "^/") and client.origin() .. uri
    end
    return url and #url <= MAX_URL_BYTES and not url:find("[%c ]") and url or nil
end

-- Returns whether a login can lead back to the original request: a GET that shows a page.
local function can_log_in()
    local var = ngx.var
    local method = is_trusted() and (var.http_x_forwarded_method or var.http_x_original_method) or "GET"
    return client.wants_page() and (method == "GET" or method == "HEAD")
end

-- Ends the request with 202. `headers` are those of claim_headers, and `more` are further ones. An absent claim has no
-- header, because nginx sends no empty one: the proxy must remove what the client sent under its name. A claim that is
-- too large is a 403.
function _M.allow(headers, claims, more)
    for _, item in ipairs(headers.list) do
        local text = claim_headers.text(claims[item.claim])
        if not text then
            access_log.reason("claim_too_large")
            return response.finish(403, response.json("forbidden", "A claim is too large for a header"))
        end
        ngx.header[item.name] = text
    end
    for name, value in pairs(more or {}) do
        ngx.header[name] = value
    end
    return response.finish(202, "", "text/plain")
end

-- Ends a request that needs a login. `url` is where a page logs in, or nil. Caddy and Traefik give our answer to the
-- client, and $forward_auth_redirect says whether to redirect: "auto" tells them by their headers.
function _M.log_in(url)
    local var = ngx.var
    ngx.header["WWW-Authenticate"] = ngx.header["WWW-Authenticate"] or "Session"
    if not url or not can_log_in() then
        return page.session_expired()
    end
    local redirect = var.forward_auth_redirect or "auto"
    if redirect == "always" or redirect == "auto" and (var.http_x_forwarded_uri or var.http_x_forwarded_method) then
        ngx.header["WWW-Authenticate"] = nil
        return page.redirect(url)
    end
    ngx.header["X-Auth-Redirect"] = url
    return page.session_expired()
end

return _M
