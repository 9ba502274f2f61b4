-- The cookies of a session and of the login before it: reads them, sets them, and hides them from services (RFC 6265).

local client = require "route_native.core.client"
local cookie = require "route_native.core.cookie"
local scan = require "route_native.core.scan"

local concat = table.concat
local find, match, sub = string.find, string.match, string.sub

local _M = {}
local jar = {}
jar.__index = jar

-- Returns a jar of two cookies: that of the session, and `NAME_login`, which lives from the first visit to the login.
function _M.new(settings)
    return setmetatable({
        name = settings.cookie_name,
        both_names = settings.cookie_name .. ";" .. settings.cookie_name .. "_login",
        domain = settings.cookie_domain,
        secure = settings.cookie_secure,
        behind_tls = settings.behind_tls,
    }, jar)
end

local function full_name(self, suffix)
    local tls = self.secure and (self.behind_tls or client.uses_tls())
    return cookie.full_name(self.name .. suffix, tls, self.domain)
end

-- The most values of one cookie that are read. A browser sends one for each domain and path that has set the cookie.
local MAX_VALUES = 8
-- The most logins under way that are read. A browser has one for each tab in which a login has begun.
local MAX_LOGINS = 32

-- Returns the different values of a cookie.
local function values(name)
    return (scan.cookies(ngx.var.http_cookie or "", name, MAX_VALUES))
end

-- Returns the values of the session's cookie. A browser also sends those that it holds from another path or a parent
-- domain, and the first may be stale.
function jar:sessions()
    return values(full_name(self, ""))
end

-- Returns the values of the login's cookie.
function jar:logins()
    return values(full_name(self, "_login"))
end

-- `same_site` is Lax by default. None needs Secure.
local function set_cookie(self, suffix, value, seconds, same_site)
    -- The answer is the border's own, for remove_foreign().
    ngx.ctx.has_border_cookie = true
    cookie.set(full_name(self, suffix), value, {
        secure = self.secure, domain = self.domain, max_age = seconds, same_site = same_site,
    })
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

-- Several logins may be under way at once, in several tabs: each has a cookie `NAME_login_KEY`. A key has letters,
-- digits, `_` and `-`.

-- Returns the different values of the cookie of a login under way.
function jar:login_of(key)
    return values(full_name(self, "_login_" .. key))
end

function jar:set_login_of(key, value, seconds, same_site)
    set_cookie(self, "_login_" .. key, value, seconds, same_site)
end

function jar:clear_login_of(key, same_site)
    set_cookie(self, "_login_" .. key, "", 0, same_site)
end

-- Returns the keys of the logins whose cookies are in a header, each once and at most MAX_LOGINS, and whether there are
-- more.
local function login_keys(self, header)
    local keys, is_known, mark = {}, {}, self.name .. "_login_"
    local _, stop = find(header, mark, 1, true)
    while stop do
        local key = match(header, "^[%w_-]*", stop + 1)
        if key ~= "" and not is_known[key] then
            if #keys == MAX_LOGINS then
                return keys, true
            end
            keys[#keys + 1], is_known[key] = key, true
        end
        _, stop = find(header, mark, stop + 1, true)
    end
    return keys, false
end

-- Returns the keys of the logins under way, at most MAX_LOGINS.
function jar:login_keys()
    return (login_keys(self, ngx.var.http_cookie or ""))
end

-- Returns a Cookie header without the own cookies under any prefix; "" if none is left.
local function without_own(self, header)
    local keys, is_flooded = login_keys(self, header)
    if is_flooded then
        return ""
    elseif not keys[1] then
        return scan.without_cookies(header, self.both_names, true)
    end
    local names = { self.both_names }
    for i, key in ipairs(keys) do
        names[i + 1] = self.name .. "_login_" .. key
    end
    return scan.without_cookies(header, concat(names, ";"), true)
end

-- Returns the Cookie header for a service, without the border's cookies under any prefix; "" if none is left.
function jar:for_upstream()
    local header = ngx.var.http_cookie
    return header and without_own(self, header) or ""
end

-- Returns whether a Set-Cookie header sets one of the border's cookies, under any prefix. A browser sends the value of
-- a cookie without a name as it is, so that it may be a name and a value.
local function is_own(self, header)
    local pair = match(header, "^[^;]*")
    local start = find(pair, "[^=%s]")
    return start ~= nil and without_own(self, sub(pair, start)) == ""
end

local function passes(header, self)
    return ngx.ctx.has_border_cookie or not is_own(self, header)
end

-- Removes the Set-Cookie headers of a service that would replace or end the session.
function jar:remove_foreign()
    cookie.filter(passes, self)
end

return _M
