-- Where a request carries its token, and how the token is taken out of it.

local ffi = require "ffi"
local bearer = require "route_native.core.bearer"
local config = require "route_native.core.config"
local library = require "route_native.core.ffi"
local query = require "route_native.desktop.query"
local request = require "route_native.core.request"
local scan = require "route_native.core.scan"

local ngx = ngx
local find, lower, match = string.find, string.lower, string.match

local FINGERPRINT_BYTES = library.RN_FINGERPRINT_BYTES
local fingerprint = ffi.new("uint8_t[?]", FINGERPRINT_BYTES)

local _M = {}

local function header_source(name)
    local lowered = lower(name)
    return {
        find = function(headers) return bearer.token(headers[lowered]) end,
        remove = function() ngx.req.clear_header(name) end,
    }
end

-- The request's cookies as one header; "" when there are none.
local function cookies_of(headers)
    local lines = headers.cookie
    return type(lines) == "table" and table.concat(lines, ";") or lines or ""
end

local function cookie_source(name)
    return {
        find = function(headers)
            local header = cookies_of(headers)
            local value, from = scan.cookie(header, name)
            if value and scan.cookie(header, name, from) then
                return nil, "token_ambiguous"
            end
            return value and (match(value, '^"(.*)"$') or value)
        end,
        remove = function(headers)
            local rest = scan.without_cookies(cookies_of(headers), name, false)
            -- Another source's cookie is looked for in what is left.
            headers.cookie = rest ~= "" and rest or nil
            if headers.cookie then
                ngx.req.set_header("Cookie", rest)
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
                ngx.req.set_uri_args(kept)
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
