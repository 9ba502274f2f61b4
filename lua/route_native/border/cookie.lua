-- The border's cookies: reads them, sets them, and hides them from the services (RFC 6265).

local client = require "route_native.core.client"
local cookie = require "route_native.core.cookie"
local scan = require "route_native.core.scan"

local _M = {}
local jar = {}
jar.__index = jar

-- Returns a jar of the border's two cookies: that of the session, and `NAME_login`, which lives from the first visit to
-- the login.
function _M.new(settings)
    return setmetatable({
        name = settings.cookie_name,
        both_names = settings.cookie_name .. ";" .. settings.cookie_name .. "_login",
        domain = settings.cookie_domain,
        secure = settings.cookie_secure,
        behind_tls = settings.behind_tls,
    }, jar)
end

-- Returns the full name of a cookie. Its prefix makes browsers refuse the cookie without TLS, and with __Host- from
-- subdomains too.
local function full_name(self, suffix)
    local tls = self.secure and (self.behind_tls or client.uses_tls())
    local prefix = tls and (self.domain and "__Secure-" or "__Host-") or ""
    return prefix .. self.name .. suffix
end

-- Returns the value of the first cookie of a name, or nil.
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

local function set_cookie(self, suffix, value, seconds)
    cookie.set(full_name(self, suffix), value, { secure = self.secure, domain = self.domain, max_age = seconds })
end

-- Sets the session's cookie. It ends with the browser; the store alone decides how long the session lives.
function jar:set_session(id)
    set_cookie(self, "", id)
end

function jar:clear_session()
    set_cookie(self, "", "", 0)
end

function jar:set_login(id, seconds)
    set_cookie(self, "_login", id, seconds)
end

function jar:clear_login()
    set_cookie(self, "_login", "", 0)
end

-- Returns the Cookie header for a service, without the border's cookies under any prefix; "" if none is left.
function jar:for_upstream()
    local header = ngx.var.http_cookie
    return header and scan.without_cookies(header, self.both_names, true) or ""
end

return _M
