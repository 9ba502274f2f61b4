-- Claims as headers for the upstream, of auth and phantom_token alike, so that nothing can be injected: visible ASCII
-- stays, everything else, `%` and `,` become %XX; the items of a list are joined with commas; an object is its JSON,
-- encoded likewise.

local cjson = require("cjson.safe").new()
local config = require "route_native.core.config"

local ngx = ngx
local byte, format, gsub, lower = string.byte, string.format, string.gsub, string.lower

local MOST_BYTES = 8192

-- Headers by which nginx and upstreams understand the request itself.
local FORBIDDEN = {
    host = true, connection = true, ["content-length"] = true, ["transfer-encoding"] = true, te = true, upgrade = true,
    trailer = true, expect = true, cookie = true, authorization = true, ["content-type"] = true,
}

local _M = {}

local function escaped(text)
    return (gsub(text, "[^!-$&-+%-./0-~]", function(char) return format("%%%02X", byte(char)) end))
end

local function scalar(value)
    if type(value) == "string" then
        return escaped(value)
    elseif type(value) == "number" then
        return value % 1 == 0 and format("%.0f", value) or tostring(value)
    elseif type(value) == "boolean" then
        return tostring(value)
    elseif type(value) == "table" and next(value) ~= nil then
        return escaped(cjson.encode(value))
    end
    return nil -- null, or nothing in it
end

local function is_list(value)
    return type(value) == "table" and #value > 0
end

-- The text of a claim in a header; nil for a claim that is absent or null.
function _M.encode(value)
    if not is_list(value) then
        return scalar(value)
    end
    local items = {}
    for _, item in ipairs(value) do
        items[#items + 1] = scalar(item)
    end
    return table.concat(items, ",")
end

-- `X_Claim-Sub` is `X-Claim-Sub` to an upstream that speaks CGI.
local function folded(name)
    return (gsub(lower(name), "_", "-"))
end

-- The row of a configuration that names headers and their claims: { ["X-Claim-Sub"] = "sub" }.
_M.ROWS = { { "headers", config.any("table"), default = {}, alias = "claim_headers" } }

-- Checks names and claims. Returns what clear() and set() take.
function _M.of(owner, values)
    local wanted = { list = {}, names = {} }
    for name, claim in pairs(values.headers) do
        if type(name) ~= "string" or not name:match("^%a[%w-]*$") or FORBIDDEN[lower(name)] then
            config.fail(owner, 'the field "headers" cannot set a header "%s"', tostring(name))
        elseif type(claim) ~= "string" or claim == "" or claim:find("%c") then
            config.fail(owner, 'the field "headers" must name a claim for %s', name)
        end
        wanted.list[#wanted.list + 1] = { name = name, claim = claim }
        wanted.names[folded(name)] = true
    end
    return wanted
end

-- Takes away what the client sent under these names, or under names that an upstream may take for them.
function _M.clear(wanted, headers)
    if #wanted.list == 0 then
        return
    end
    for name in pairs(headers) do
        if wanted.names[folded(name)] then
            ngx.req.clear_header(name)
        end
    end
end

-- Sets the headers. Returns false when a claim is too large to be one.
function _M.set(wanted, claims)
    for _, item in ipairs(wanted.list) do
        local text = _M.encode(claims[item.claim])
        if text and #text > MOST_BYTES then
            return false
        elseif text then
            ngx.req.set_header(item.name, text)
        end
    end
    return true
end

return _M
