-- Filters the cookies of desktops. Only those that ROUTE_DESKTOP_COOKIES names pass, in both directions.
-- conf/runtime.sh writes the call of `sent`, and desktop/answer.lua calls `received`.

local cookie = require "route_native.core.cookie"

local find, gmatch, match, sub = string.find, string.gmatch, string.match, string.sub
local concat = table.concat
local ngx = ngx

local _M = {}

-- The sets of the lists. There is one list, that of ROUTE_DESKTOP_COOKIES.
local sets = {}

local function set_of(list)
    local set = sets[list]
    if not set then
        set = {}
        for name in gmatch(list, "[^,]+") do
            set[name] = true
        end
        sets[list] = set
    end
    return set
end

-- Returns the name in `name=value`, without the blanks before it, or nil.
local function name_in(pair)
    local equals = find(pair, "=", 1, true)
    local start = find(pair, "[^ \t]")
    return equals and sub(pair, start, equals - 1)
end

-- Returns whether a cookie's name is that of the token (token_cookie.lua), under any prefix.
local function is_token(name)
    local own = ngx.var.token_cookie
    return own ~= nil and own ~= "" and (name == own or match(name, "^__%a+%-(.*)$") == own)
end

-- Returns whether the cookie of a pair passes. That of the token never does.
local function is_passing(pair, set)
    local name = name_in(pair)
    return set[name] and not is_token(name)
end

-- Returns the Cookie header for a desktop, with only the cookies that pass.
function _M.sent(list)
    local header = ngx.var.http_cookie
    if not header then
        return ""
    end
    local set, kept, from = set_of(list), {}, 1
    while from <= #header do
        local to = (find(header, ";", from, true) or #header + 1) - 1
        local pair = sub(header, from, to)
        if is_passing(pair, set) then
            kept[#kept + 1] = sub(pair, find(pair, "[^ \t]"), -1)
        end
        from = to + 2
    end
    return concat(kept, "; ")
end

local function passes(header, set)
    local semicolon = find(header, ";", 1, true) or #header + 1
    return is_passing(sub(header, 1, semicolon - 1), set)
end

-- Removes the Set-Cookie headers of a desktop whose cookies do not pass.
function _M.received(list)
    cookie.filter(passes, set_of(list))
end

return _M
