-- Removes a token from the query of a request, and overwrites it in nginx's own memory: every program logs URLs, and so
-- does nginx's error log.

local request = require "route_native.core.request"
local scan = require "route_native.core.scan"

local find, sub = string.find, string.sub
local var = ngx.var

-- Shorter values are no tokens. Overwriting them everywhere could destroy other parts of the query.
local MIN_TOKEN_BYTES = 16

local _M = {}

-- Calls `overwrite(r, name, offset, what)` for each variable that holds the query of this request, with the query's
-- offset in it. Leaves the path alone, because nginx chooses the location by the same memory.
local function in_query(overwrite, what)
    local r = request.current()
    overwrite(r, "args", 0, what)
    -- Over HTTP/1 these variables share their bytes with `args`. Over HTTP/2 they are copies.
    for _, name in ipairs { "request", "request_uri" } do
        local query = find(var[name], "?", 1, true)
        if query then
            overwrite(r, name, query, what)
        end
    end
end

-- Overwrites the whole query of this request.
function _M.scrub(query)
    in_query(request.scrub, #query)
end

-- Returns a query without the argument between two positions.
local function without_argument(query, start, stop)
    if start == 1 then
        return sub(query, stop + 2)
    end
    return sub(query, 1, start - 2) .. sub(query, stop + 1)
end

-- Removes the argument `name`, in lower case, from a query and from nginx's memory. Returns the remaining query and a
-- list of tokens: none, the one, or the first two of several, which the caller refuses.
function _M.extract(query, name)
    local token, start, stop = scan.argument(query, name)
    if not token then
        return query, {}
    end
    local another = scan.argument(query, name, stop + 2)
    if another then
        -- Overwrite the whole query: a search for each of many tokens takes 250 ms in a request of 32 KB.
        _M.scrub(query)
        return "", { token, another }
    end
    local rest = without_argument(query, start, stop)
    if #token >= MIN_TOKEN_BYTES then
        -- Remove it from the other arguments too: nginx logs the upstream's URL if it cannot reach the upstream.
        rest = scan.without(rest, token)
        in_query(request.scrub_all, token)
    end
    return rest, { token }
end

return _M
