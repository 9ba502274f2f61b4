-- Removes tokens from the query: `?jwt_token=…`, and the bare query string on WebSocket endpoints. Hides the tokens
-- that stand elsewhere in a URL, where they are no credential.
--
-- Every program logs URLs, and so does nginx's error log. A token is therefore overwritten in nginx's own memory as
-- soon as it is found, and removed from the query that the upstream receives.

local core_query = require "route_native.core.query"
local kept = require "route_native.core.kept"
local request = require "route_native.core.request"
local scan = require "route_native.core.scan"

local find, gsub, lower, sub, concat = string.find, string.gsub, string.lower, string.sub, table.concat
local var = ngx.var

local ARGUMENT = "jwt_token"
local PLACE = "query:" .. ARGUMENT

local _M = {}

-- Overwrites the query of the Referer header, and tokens before it. A page whose URL contains a token sends that URL as
-- the Referer of all it loads, and nginx's error log shows referrers.
function _M.scrub_referer()
    local r, referer = request.current(), var.http_referer
    local at = referer and find(lower(referer), "jwt_?token") and find(referer, "?", 1, true)
    if at and at < #referer then
        request.scrub(r, "http_referer", at, #referer - at)
    end
    request.scrub_tokens(r, "http_referer", 0)
end

-- Returns a path without its parameters (`;name=value`) that are named as the argument is.
local function without_parameter(path)
    return (gsub(path, ";([^;/=]*)=[^;/]*", function(name)
        return lower(ngx.unescape_uri(name)) == ARGUMENT and "" or nil
    end))
end

-- Overwrites the tokens that take() has left in the URL, whatever their names and encoding are: in the path, in its
-- parameters, and in other arguments. Upstreams receive them as they came, because another server's token may be meant
-- for them; only a parameter `;jwt_token=…` is removed.
function _M.scrub_target()
    local r, received = request.current(), var.request_uri
    local before = kept.find()
    -- After an internal redirect, asterisks are left of them, which must not reach the upstream.
    if before and before.is_scrubbed or not scan.token(received, #received, 0) then
        return
    end
    kept.open().is_scrubbed = true
    local target = var.route_uri
    target = target and target ~= "" and target or received
    local query = find(target, "?", 1, true)
    local path = query and sub(target, 1, query - 1) or target
    target = without_parameter(path) .. (query and sub(target, query) or "")
    request.set(r, "route_uri", target, #target)
    -- Path and query move to memory of their own, which nothing logs as it is: nginx chooses the location by the path,
    -- and a location without $route_uri passes both on. A path that cannot be moved has been decoded, and shares none.
    pcall(ngx.req.set_uri, var.uri, false)
    if var.args then
        ngx.req.set_uri_args(var.args)
    end
    -- Before it stand the method and, in the absolute form, the host.
    request.scrub_tokens(r, "request", (find(var.request, var.request_uri, 1, true) or 1) - 1)
    request.scrub_tokens(r, "request_uri", 0)
end

-- Returns the token that take() has removed from the query of this request, or nil. Several are joined by a comma,
-- which no token may contain, so they are refused.
function _M.taken()
    local before = kept.find()
    local tokens = before and before.places[PLACE]
    return tokens and concat(tokens, ",")
end

-- Returns what is left of a query without its token, and a list of tokens.
local function split(query)
    -- A token contains dots. A bare query without a dot belongs to the desktop, unless the dots are encoded.
    if var.token_is_query == "1" and not find(query, "=", 1, true)
        and (find(query, ".", 1, true) or scan.token(query, #query, 0)) then
        core_query.scrub(query)
        return "", { query }
    end
    return core_query.extract(query, ARGUMENT)
end

-- Removes the token from the query. Returns the token, or nil, as taken() does. After an internal redirect, the query
-- is gone, or still shows the asterisks.
function _M.take()
    local query = var.args
    if not query or query == "" then
        return _M.taken()
    end
    -- The path as the client sent it. Read it before the token is overwritten, which may contain the question mark.
    local uri = var.request_uri:match("^[^?]*")
    local rest, tokens = split(query)
    local taken = _M.taken()
    if taken and not find(tokens[1] or "", "[^*]") then
        ngx.req.set_uri_args(find(rest, "[^*]") and rest or "")
        return taken
    elseif #tokens == 0 then
        return nil
    end
    kept.place(PLACE, tokens)
    if rest ~= "" then
        uri = uri .. "?" .. rest
    end
    -- A configuration without $route_uri passes nginx's own query on.
    if not request.set(request.current(), "route_uri", uri, #uri) then
        ngx.req.set_uri_args(rest)
    end
    return concat(tokens, ",")
end

return _M
