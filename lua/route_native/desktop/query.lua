-- Tokens in the query: `?jwt_token=…`, and on WebSocket endpoints the bare query string.
--
-- A URL is written to logs by every program that sees it, nginx's error log included, so a token is taken out of the
-- request's own memory as soon as it is seen, and out of what the upstream receives.

local request = require "route_native.core.request"

local find, sub, concat = string.find, string.sub, table.concat
local unescape = ngx.unescape_uri
local var = ngx.var

local ARGUMENT = "jwt_token"
-- What is shorter is no token, and may be a piece of anything else.
local MIN_TOKEN_BYTES = 16

local _M = {}

-- Whether an argument's name is the wanted one. As in nginx's own $arg_jwt_token case does not matter, and a name
-- that is spelt with percent signs is the same name (RFC 3986 §2.3): a token under it must not slip past.
local function is_named(name, wanted)
    return name == wanted or unescape(name):lower() == wanted
end

-- Splits a query into the arguments to pass on and the values of the one that is wanted, a name in lower case.
local function split(query, wanted)
    local kept, tokens = {}, {}
    local from = 1
    while from <= #query + 1 do
        local to = (find(query, "&", from, true) or #query + 1) - 1
        local argument = sub(query, from, to)
        local equals = find(argument, "=", 1, true)
        if equals and is_named(sub(argument, 1, equals - 1), wanted) then
            tokens[#tokens + 1] = sub(argument, equals + 1)
        else
            kept[#kept + 1] = argument
        end
        from = to + 2
    end
    return kept, tokens
end

-- Overwrites a token wherever it stands in the query that a variable holds from `start` on. Never in the path: nginx
-- chooses the location by the same memory.
local function scrub_variable(r, name, text, start, token)
    local at = start and find(text, token, start, true)
    while at do
        request.scrub(r, name, at - 1, #token)
        at = find(text, token, at + #token, true)
    end
end

local function scrub(token)
    local r = request.current()
    local args, line, uri = var.args, var.request, var.request_uri
    scrub_variable(r, "args", args, 1, token)
    -- Over HTTP/1 these are the same bytes, over HTTP/2 they are copies.
    scrub_variable(r, "request", line, find(line, "?", 1, true), token)
    scrub_variable(r, "request_uri", uri, find(uri, "?", 1, true), token)
end

-- What is left of a text without a token.
local function without(text, token)
    local pieces, from = {}, 1
    local at = find(text, token, 1, true)
    while at do
        pieces[#pieces + 1] = sub(text, from, at - 1)
        from = at + #token
        at = find(text, token, from, true)
    end
    pieces[#pieces + 1] = sub(text, from)
    return concat(pieces)
end

-- Takes the argument `name` (in lower case) out of a query and out of nginx's memory. Returns the arguments to pass on
-- and the tokens, each a list.
function _M.extract(query, name)
    local kept, tokens = split(query, name)
    if #tokens > 1 then
        -- They are refused together, and one search for each would cost a request of 32 KB a quarter of a second.
        scrub(query)
        return {}, tokens
    elseif #tokens == 1 and #tokens[1] >= MIN_TOKEN_BYTES then
        -- Out of the other arguments too: the upstream's URL is in nginx's error log when it cannot be reached.
        for i, argument in ipairs(kept) do
            kept[i] = without(argument, tokens[1])
        end
        scrub(tokens[1])
    end
    return kept, tokens
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
        kept, tokens = {}, { query }
        scrub(query)
    else
        kept, tokens = _M.extract(query, ARGUMENT)
    end
    if #tokens == 0 then
        return nil
    end
    local arguments = concat(kept, "&")
    if arguments ~= "" then
        uri = uri .. "?" .. arguments
    end
    -- A configuration that passes requests on without $route_uri gets its query from nginx.
    if not request.set(request.current(), "route_uri", uri, #uri) then
        ngx.req.set_uri_args(arguments)
    end
    return concat(tokens, ",")
end

return _M
