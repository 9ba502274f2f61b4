-- Tokens in the query: `?jwt_token=…`, and on WebSocket endpoints the bare query string.
--
-- A URL is written to logs by every program that sees it, nginx's error log included, so a token is taken out of the
-- request's own memory as soon as it is seen, and out of what the upstream receives.

local request = require "route_native.request"

local find, sub, concat = string.find, string.sub, table.concat
local unescape = ngx.unescape_uri
local var = ngx.var

local ARGUMENT = "jwt_token"

local _M = {}

-- Whether an argument's name is ours. As in nginx's own $arg_jwt_token case does not matter, and a name that is spelt
-- with percent signs is the same name (RFC 3986 §2.3): a token under it must not slip past.
local function is_token(name)
    return name == ARGUMENT or unescape(name):lower() == ARGUMENT
end

-- Splits a query into the arguments to pass on and the values of `jwt_token`.
local function split(query)
    local kept, tokens = {}, {}
    local from = 1
    while from <= #query + 1 do
        local to = (find(query, "&", from, true) or #query + 1) - 1
        local argument = sub(query, from, to)
        local equals = find(argument, "=", 1, true)
        if equals and is_token(sub(argument, 1, equals - 1)) then
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

-- A page that was opened with a token in its URL sends it along as the Referer of what it loads, and nginx's error log
-- shows referrers. All of the query is overwritten.
function _M.scrub_referer()
    local referer = var.http_referer
    local at = referer and find(referer, "?", 1, true)
    if at and at < #referer then
        request.scrub(request.current(), "http_referer", at, #referer - at)
    end
end

-- The path and query that the upstream is to receive: the path as the client sent it, the query without tokens.
local function uri_with(arguments)
    local path = var.request_uri:match("^[^?]*")
    if #arguments > 0 then
        path = path .. "?" .. concat(arguments, "&")
    end
    return path
end

-- Takes the token out of the query and returns it; nil when there is none.
-- Several tokens come back joined by a comma, which no token may hold: they are refused together.
function _M.take()
    local query = var.args
    if not query or query == "" then
        return nil
    end
    local kept, tokens
    -- A token has dots; a bare word without one is the desktop's own.
    if var.token_is_query == "1" and not find(query, "=", 1, true) and find(query, ".", 1, true) then
        kept, tokens = {}, { query }
    else
        kept, tokens = split(query)
    end
    if #tokens == 0 then
        return nil
    end
    local uri = uri_with(kept)
    -- Several are refused together, and one search for each would cost a request of 32 KB a quarter of a second.
    if #tokens > 1 then
        scrub(query)
    elseif tokens[1] ~= "" then
        scrub(tokens[1])
    end
    -- A configuration that passes requests on without $route_uri gets its query from nginx.
    if not request.set(request.current(), "route_uri", uri, #uri) then
        ngx.req.set_uri_args(concat(kept, "&"))
    end
    return concat(tokens, ",")
end

return _M
