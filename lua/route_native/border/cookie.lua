-- Cookies: finding ours among a request's, setting them, and keeping them from the services (RFC 6265).

local cookie = require "route_native.core.cookie"
local scan = require "route_native.core.scan"

local _M = {}
local jar = {}
jar.__index = jar

-- A jar knows the border's two cookies: the session's, and `NAME_login`, which lives from the first visit to the login.
function _M.new(settings)
    return setmetatable({
        name = settings.cookie_name,
        both_names = settings.cookie_name .. ";" .. settings.cookie_name .. "_login",
        domain = settings.cookie_domain,
        secure = settings.cookie_secure,
        behind_tls = settings.behind_tls,
    }, jar)
end

-- The full name of a cookie. The __Host- prefix makes browsers refuse it from subdomains and without TLS.
local function full_name(self, suffix)
    local tls = self.secure and (self.behind_tls or ngx.var.scheme == "https")
    local prefix = tls and (self.domain and "__Secure-" or "__Host-") or ""
    return prefix .. self.name .. suffix
end

-- The value of the first cookie with a name; nil when there is none.
local function find(name)
    local header = ngx.var.http_cookie
    return header and (scan.cookie(header, name)) or nil
end

function jar:session()
    return find(full_name(self, ""))
end

function jar:login()
    return find(full_name(self, "_login"))
end

local function put(self, suffix, value, seconds)
    cookie.set(full_name(self, suffix), value, { secure = self.secure, domain = self.domain, max_age = seconds })
end

-- The session's cookie ends with the browser; how long it is good for is in the store alone.
function jar:set_session(id)
    put(self, "", id)
end

function jar:clear_session()
    put(self, "", "", 0)
end

function jar:set_login(id, seconds)
    put(self, "_login", id, seconds)
end

function jar:clear_login()
    put(self, "_login", "", 0)
end

-- The Cookie header for a service: without ours, whatever their prefix. "" when nothing is left.
function jar:for_upstream()
    local header = ngx.var.http_cookie
    return header and scan.without_cookies(header, self.both_names, true) or ""
end

return _M
