-- Sends claims as headers to the upstream, for auth and phantom_token. The encoding prevents header injection: visible
-- ASCII stays, and everything else, `%` and `,` become %XX. The items of a list are joined by commas. An object becomes
-- JSON and is then encoded likewise.

local config = require "route_native.core.config"
local digits = require "route_native.core.digits"
local kept = require "route_native.core.kept"

local ngx = ngx
local byte, format, gsub, lower = string.byte, string.format, string.gsub, string.lower

local MAX_BYTES = 8192

-- Headers that change how nginx or the upstream reads the request itself.
local FORBIDDEN = {
    host = true, connection = true, ["content-length"] = true, ["transfer-encoding"] = true, te = true, upgrade = true,
    trailer = true, expect = true, cookie = true, authorization = true, ["content-type"] = true,
}

local _M = {}

-- Returns a text with %XX for every byte that a header or a list cannot hold.
local function escaped(text)
    return (gsub(text, "[^!-$&-+%-./0-~]", function(char) return format("%%%02X", byte(char)) end))
end

-- Returns the text of a single value, or nil for null and for an empty object.
local function scalar(value)
    if type(value) == "string" then
        return escaped(value)
    elseif type(value) == "number" then
        return digits.text(value)
    elseif type(value) == "boolean" then
        return tostring(value)
    elseif type(value) == "table" and next(value) ~= nil then
        return escaped(digits.encode_decoded(value))
    end
    return nil
end

local function is_list(value)
    return type(value) == "table" and #value > 0
end

-- Returns the header text of a claim, or nil for a claim that is absent or null.
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

-- Returns the name as an upstream that speaks CGI compares it: `X_Claim-Sub` equals `X-Claim-Sub` there.
local function folded(name)
    return (gsub(lower(name), "_", "-"))
end

-- The configuration row that maps headers to claims: { ["X-Claim-Sub"] = "sub" }.
_M.ROWS = { { "headers", config.any("table"), default = {}, alias = "claim_headers" } }

-- Checks names and claims of a configuration. Returns the headers for clear() and set().
function _M.of(owner, values)
    local headers = { list = {}, names = {}, owner = owner }
    for name, claim in pairs(values.headers) do
        if type(name) ~= "string" or not name:match("^%a[%w-]*$") or FORBIDDEN[lower(name)] then
            config.fail(owner, 'the field "headers" cannot set a header "%s"', tostring(name))
        elseif type(claim) ~= "string" or claim == "" or claim:find("%c") then
            config.fail(owner, 'the field "headers" must name a claim for %s', name)
        end
        headers.list[#headers.list + 1] = { name = name, lowered = lower(name), claim = claim }
        headers.names[folded(name)] = true
    end
    return headers
end

-- Removes the client's headers of these names, and of names that an upstream may confuse with them.
function _M.clear(headers, sent)
    if #headers.list == 0 then
        return
    end
    for name, value in pairs(sent) do
        if headers.names[folded(name)] then
            kept.keep_header(name, value)
            ngx.req.clear_header(name)
        end
    end
end

-- Returns the text of a claim for a header, "" for one that is absent, or nil for one that is too large.
function _M.text(value)
    local text = _M.encode(value) or ""
    return #text <= MAX_BYTES and text or nil
end

-- Sets the headers. Returns false when a claim is too large for a header.
function _M.set(headers, claims)
    for _, item in ipairs(headers.list) do
        local text = _M.encode(claims[item.claim])
        if text and #text > MAX_BYTES then
            return false
        elseif text then
            kept.open().written[item.lowered] = text
            ngx.req.set_header(item.name, text)
            -- nginx shares the headers of the request with a subrequest of auth_request, mirror or SSI. There, a new
            -- header goes to the request, beside the client's, and the subrequest does not see it. (It does see it
            -- from the 20th header on.)
            if ngx.is_subrequest and ngx.req.get_headers(0)[item.lowered] ~= text then
                config.fail(headers.owner, "cannot set headers in this subrequest: nginx would pass them to the "
                    .. "upstream of the request. Leave out headers, and use auth_request_set")
            end
        end
    end
    return true
end

return _M
