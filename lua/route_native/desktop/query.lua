-- Tokens in the query: `?jwt_token=…`, and on WebSocket endpoints the bare query string.
--
-- A URL is written to logs by every program that sees it, nginx's error log included, so a token is taken out of the
-- request's own memory as soon as it is seen, and out of what the upstream receives.

local request = require "route_native.core.request"
local scan = require "route_native.core.scan"

local find, sub, concat = string.find, string.sub, table.concat
local var = ngx.var

local ARGUMENT = "jwt_token"
-- What is shorter is no token, and may be a piece of anything else.
local MIN_TOKEN_BYTES = 16

local _M = {}

-- Overwrites a token wherever it stands in the query of this request. Never in the path: nginx chooses the location by
-- the same memory.
local function scrub(token)
    local r = request.current()
    request.scrub_all(r, "args", 0, token)
    -- Over HTTP/1 these are the same bytes, over HTTP/2 they are copies.
    for _, name in ipairs { "request", "request_uri" } do
        local query = find(var[name], "?", 1, true)
        if query then
            request.scrub_all(r, name, query, token)
        end
    end
end

-- A query without the argument that stands between two positions.
local function cut(query, start, stop)
    if start == 1 then
        return sub(query, stop + 2)
    end
    return sub(query, 1, start - 2) .. sub(query, stop + 1)
end

-- Takes the argument `name` (in lower case) out of a query and out of nginx's memory. Returns the query to pass on and
-- the list of tokens: none, the one, or the first two, which are refused together.
function _M.extract(query, name)
    local token, start, stop = scan.argument(query, name)
    if not token then
        return query, {}
    end
    local another = scan.argument(query, name, stop + 2)
    if another then
        -- One search for each would take a request of 32 KB a quarter of a second.
        scrub(query)
        return "", { token, another }
    end
    local kept = cut(query, start, stop)
    if #token >= MIN_TOKEN_BYTES then
        -- Out of the other arguments too: the upstream's URL is in nginx's error log when it cannot be reached.
        kept = scan.without(kept, token)
        scrub(token)
    end
    return kept, { token }
end

-- A page that was opened with a token in its URL sends it along as the Referer of what it loads, and nginx's error log
-- shows referrers. All of the query is overwritten.
function _M.scrub_referer()
    local referer = var.http_referer
    local at = referer and find(referer, "?", 1, true)
    if at and at < #referer then
        request.scrub(request.current(), "http_referer", at, #referer - at)
    end
end

-- Takes the token out of the query and returns it; nil when there is none.
-- Several tokens come back joined by a comma, which no token may hold: they are refused together.
function _M.take()
    local query = var.args
    if not query or query == "" then
        return nil
    end
    -- As the client sent it, read while its question mark stands: a token may hold one, and be overwritten.
    local uri = var.request_uri:match("^[^?]*")
    local kept, tokens
    -- A token has dots; a bare word without one is the desktop's own.
    if var.token_is_query == "1" and not find(query, "=", 1, true) and find(query, ".", 1, true) then
        kept, tokens = "", { query }
        scrub(query)
    else
        kept, tokens = _M.extract(query, ARGUMENT)
    end
    if #tokens == 0 then
        return nil
    end
    if kept ~= "" then
        uri = uri .. "?" .. kept
    end
    -- A configuration that passes requests on without $route_uri gets its query from nginx.
    if not request.set(request.current(), "route_uri", uri, #uri) then
        ngx.req.set_uri_args(kept)
    end
    return concat(tokens, ",")
end

return _M
