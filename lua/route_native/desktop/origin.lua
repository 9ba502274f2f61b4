-- Decides which pages may use the cookie of a token. A browser sends it with every request to this origin, whoever has
-- caused the request: another site's page could open a WebSocket to its visitor's desktop.
--
--     Origin             ours or listed in $cookie_origins; `null` is neither
--     no Origin          Sec-Fetch-Site: the same origin or the user (a link is desktop_http.conf's matter)
--     neither of them    only requests that change nothing: an old browser sends Origin with all others

local client = require "route_native.core.client"

local gmatch = string.gmatch
local ngx = ngx
local var = ngx.var

local SAFE = { GET = true, HEAD = true, OPTIONS = true }

local _M = {}

-- The sets of the lists. A configuration has few.
local sets = {}

-- Returns the set of the listed origins.
function _M.listed()
    local text = var.cookie_origins or ""
    local set = sets[text]
    if not set then
        local list = {}
        for word in gmatch(text, "[^%s,]+") do
            list[#list + 1] = word
        end
        set = client.origins(list)
        sets[text] = set
    end
    return set
end

-- Returns whether the request may change something: a WebSocket, or a method that is not safe (RFC 9110 §9.2.1).
local function is_unsafe()
    return var.http_upgrade ~= nil or not SAFE[ngx.req.get_method()]
end

-- Returns whether a page of an origin that is neither ours nor listed may have caused the request.
function _M.is_foreign()
    local origin = var.http_origin
    if origin then
        return not (client.is_own_origin(origin) or client.is_among(origin, _M.listed()))
    end
    local site = var.http_sec_fetch_site
    if site == "same-origin" or site == "none" then
        return false
    end
    local is_link = var.http_sec_fetch_mode == "navigate"
    return is_unsafe() or (site ~= nil and not is_link)
end

return _M
