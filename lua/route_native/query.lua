-- Tokens in the query: `?jwt_token=…`, and on WebSocket endpoints the bare query string.
--
-- A URL is written to logs by every program that sees it, nginx's error log included, so a token is taken out of the
-- request's own memory as soon as it is seen, and out of what the upstream receives.

local request = require "route_native.request"

local find, sub, concat = string.find, string.sub, table.concat
local var = ngx.var

local ARGUMENT = "jwt_token="

local _M = {}

-- Splits a query into the arguments to pass on and the values of one argument (`name=`), with their offsets.
local function split(query, argument)
    local kept, tokens = {}, {}
    local from = 1
    while from <= #query + 1 do
        local to = (find(query, "&", from, true) or #query + 1) - 1
        if sub(query, from, from + #argument - 1) == argument then
            tokens[#tokens + 1] = { text = sub(query, from + #argument, to), offset = from + #argument - 1 }
        else
            kept[#kept + 1] = sub(query, from, to)
        end
        from = to + 2
    end
    return kept, tokens
end

local function scrub(token)
    local r = request.current()
    local line, uri = var.request, var.request_uri
    local in_line, in_uri = find(line, token, 1, true), find(uri, token, 1, true)
    request.scrub(r, "args", find(var.args, token, 1, true) - 1, #token)
    -- Over HTTP/1 these are the same bytes, over HTTP/2 they are copies.
    if in_line then request.scrub(r, "request", in_line - 1, #token) end
    if in_uri then request.scrub(r, "request_uri", in_uri - 1, #token) end
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
    if var.token_is_query == "1" and not find(query, "=", 1, true) then
        kept, tokens = {}, { { text = query } }
    else
        kept, tokens = split(query, ARGUMENT)
    end
    if #tokens == 0 then
        return nil
    end
    local uri = uri_with(kept)
    local texts = {}
    for i, token in ipairs(tokens) do
        texts[i] = token.text
        if token.text ~= "" then scrub(token.text) end
    end
    request.set(request.current(), "route_uri", uri, #uri)
    return concat(texts, ",")
end

_M.split, _M.scrub = split, scrub

return _M
