-- Where a request carries its token, and how the token is taken out of it.

local ffi = require "ffi"
local config = require "route_native.core.config"
local library = require "route_native.core.ffi"
local query = require "route_native.desktop.query"
local request = require "route_native.core.request"

local ngx = ngx
local find, lower, match, sub = string.find, string.lower, string.match, string.sub

local FINGERPRINT_BYTES = 12
local fingerprint = ffi.new("uint8_t[?]", FINGERPRINT_BYTES)

local _M = {}

local function trimmed(value)
    return match(value, "^%s*(.-)%s*$")
end

-- The token of a header's value: with or without `Bearer `, in any case.
local function of_header(value)
    if type(value) ~= "string" then
        return nil, value and "token_ambiguous"
    end
    value = trimmed(value)
    if lower(sub(value, 1, 6)) == "bearer" and find(value, "^%s", 7) then
        value = trimmed(sub(value, 8))
    elseif lower(value) == "bearer" then
        value = ""
    end
    return value
end

local function header_source(name)
    local lowered = lower(name)
    return {
        find = function(headers) return of_header(headers[lowered]) end,
        remove = function() ngx.req.clear_header(name) end,
    }
end

-- Calls `each` with every cookie: its whole text, its name and its value.
local function cookies(headers, each)
    local lines = headers.cookie
    for _, line in ipairs(type(lines) == "table" and lines or { lines }) do
        for cookie in line:gmatch("[^;]+") do
            local text = trimmed(cookie)
            each(text, match(text, "^([^=]-)%s*=%s*(.*)$"))
        end
    end
end

local function cookie_source(name)
    return {
        find = function(headers)
            local found, count = nil, 0
            cookies(headers, function(_, cookie, value)
                if cookie == name then
                    found, count = value, count + 1
                end
            end)
            if count > 1 then
                return nil, "token_ambiguous"
            end
            return found and (match(found, '^"(.*)"$') or found)
        end,
        remove = function(headers)
            local kept = {}
            cookies(headers, function(text, cookie)
                if cookie ~= name then
                    kept[#kept + 1] = text
                end
            end)
            -- Another source's cookie is looked for in what is left.
            headers.cookie = #kept > 0 and table.concat(kept, "; ") or nil
            if headers.cookie then
                ngx.req.set_header("Cookie", headers.cookie)
            else
                ngx.req.clear_header("Cookie")
            end
        end,
    }
end

-- A token in a URL is overwritten in nginx's own memory, for the logs, and never passed on: URLs are written down by
-- every program that sees them.
local function query_source(name)
    name = lower(name)
    return {
        find = function()
            local arguments = ngx.var.args
            if not arguments or not find(arguments, "=", 1, true) then
                return nil
            end
            local kept, tokens = query.extract(arguments, name)
            if #tokens > 0 then
                ngx.req.set_uri_args(table.concat(kept, "&"))
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

-- The row of a configuration that lists where a token may be: "header", "header:NAME", "cookie:NAME" and "query:NAME".
_M.ROWS = { { "token", config.list(), default = { "header" } } }

-- Makes sources of a configuration's values, in their order.
function _M.of(owner, values)
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
        sources[i] = KINDS[kind](name)
    end
    return sources
end

-- The first source that has a token gives it; nil when none has one, or nil and a reason when there are several in one
-- place. Every source is asked, so that no token in a URL is passed on or logged.
function _M.find(sources, headers)
    local token, trouble
    for _, source in ipairs(sources) do
        local found, reason = source.find(headers)
        if (found or reason) and not (token or trouble) then
            token, trouble = found, reason
        end
    end
    return token, trouble
end

-- Takes the tokens of all sources out of the request: one that was not looked at opens as much as the one that was.
function _M.remove(sources, headers)
    for _, source in ipairs(sources) do
        source.remove(headers)
    end
end

-- What the access log may show, where the configuration declares its variables: why a token was refused, and what
-- stands for the token.
function _M.note_reason(name)
    request.set(request.current(), "route_reason", name, #name)
end

function _M.note_token(token)
    library.rn_token_fingerprint(token, #token, fingerprint)
    request.set(request.current(), "route_token", fingerprint, FINGERPRINT_BYTES)
end

return _M
