-- Finds the token of a request in headers, cookies or the query, and removes it from the request.

local bearer = require "route_native.core.bearer"
local config = require "route_native.core.config"
local kept = require "route_native.core.kept"
local query = require "route_native.core.query"
local scan = require "route_native.core.scan"

local ngx = ngx
local find, lower, match = string.find, string.lower, string.match

-- The most different values of one cookie that are tried. Each may cost a signature.
local MAX_COOKIES = 4

local _M = {}

local function header_source(name, takes_dpop)
    local lowered = lower(name)
    takes_dpop = takes_dpop and lowered == "authorization"
    return {
        find = function(headers, before)
            local value = headers[lowered]
            -- The JWT that phantom tokens have put in place of the client's token is the one to check.
            if not (before and value and value == before.exchanged) then
                value = kept.header(before, lowered, value)
            end
            local token, err, is_dpop = bearer.token(value, takes_dpop)
            return token, err, nil, is_dpop
        end,
        remove = function(headers)
            kept.keep_header(lowered, headers[lowered])
            ngx.req.clear_header(name)
        end,
    }
end

-- Returns the request's cookies as one header, or "" if there are none.
local function cookies_of(headers)
    local lines = headers.cookie
    return type(lines) == "table" and table.concat(lines, ";") or lines or ""
end

-- Returns a list of the different values of a cookie. An empty value stands only alone. A list of more than MAX_COOKIES
-- is not complete.
local function cookies_named(header, name)
    local values, is_there = scan.cookies(header, name, MAX_COOKIES + 1)
    if is_there and #values == 0 then
        values[1] = ""
    end
    return values
end

local function cookie_source(name)
    local place = "cookie:" .. name
    local function values_of(headers, before)
        local values = cookies_named(cookies_of(headers), name)
        return #values == 0 and before and before.places[place] or values
    end
    return {
        find = function(headers, before)
            local values = values_of(headers, before)
            if #values > MAX_COOKIES then
                return nil, "token_ambiguous"
            end
            return values[1], nil, #values > 1 and values or nil
        end,
        remove = function(headers, before)
            local values = values_of(headers, before)
            if #values > 0 then
                kept.place(place, values)
            end
            local rest = scan.without_cookies(cookies_of(headers), name, false)
            -- The next cookie source removes its cookie from this header.
            headers.cookie = rest ~= "" and rest or nil
            if headers.cookie then
                ngx.req.set_header("Cookie", rest)
            else
                ngx.req.clear_header("Cookie")
            end
        end,
    }
end

-- find() also removes the token from the query and overwrites it in nginx's own memory. Programs log URLs, so a token
-- in one must not reach the upstream or nginx's logs.
local function query_source(name)
    name = lower(name)
    local place = "query:" .. name
    return {
        find = function(_, before)
            local arguments = ngx.var.args
            local tokens = before and before.places[place] or {}
            if arguments and find(arguments, "=", 1, true) then
                local rest, found = query.extract(arguments, name)
                if #found > 0 then
                    tokens = found
                    kept.place(place, tokens)
                    ngx.req.set_uri_args(rest)
                end
            end
            if #tokens > 1 then
                return nil, "token_ambiguous"
            end
            return tokens[1]
        end,
        remove = function() end,
    }
end

local KINDS = { header = header_source, cookie = cookie_source, query = query_source }

-- The configuration row of sources: "header", "header:NAME", "cookie:NAME" and "query:NAME".
_M.ROWS = { { "token", config.list(), default = { "header" } } }

-- Returns the sources of a configuration, in their order. With `takes_dpop`, the Authorization header may hold a token
-- of the scheme DPoP.
function _M.of(owner, values, takes_dpop)
    local sources = {}
    for i, text in ipairs(values.token) do
        local kind, name = match(text, "^(%a+):([%w_-]+)$")
        if text == "header" then
            kind, name = "header", "Authorization"
        end
        if not KINDS[kind] then
            config.fail(owner, 'the field "token" knows header, header:NAME, cookie:NAME and query:NAME, and not "%s"',
                text)
        end
        sources[i] = KINDS[kind](name, takes_dpop)
    end
    return sources
end

-- Returns the token of the first source that has one, nil if none has one, or nil and a reason if that source has
-- several headers or arguments. Its third result is a list of all tokens, for a cookie with several values, or nil. Its
-- fourth result is whether the token has the scheme DPoP. Returns "" if a source is empty and none has a token. Every
-- source is read, because reading removes a token from the URL. A source that an earlier check of this request emptied
-- still has what it had.
function _M.find(sources, headers)
    local before = kept.find()
    local token, reason, several, is_dpop
    local is_empty = false
    for _, source in ipairs(sources) do
        local found, err, all, has_proof = source.find(headers, before)
        if found == "" then
            is_empty = true
        elseif (found or err) and not (token or reason) then
            token, reason, several, is_dpop = found, err, all, has_proof
        end
    end
    if is_empty and not (token or reason) then
        return ""
    end
    return token, reason, several, is_dpop
end

-- Removes the tokens of all sources from the request. A token that was not checked is a credential too.
function _M.remove(sources, headers)
    local before = kept.find()
    for _, source in ipairs(sources) do
        source.remove(headers, before)
    end
end

return _M
