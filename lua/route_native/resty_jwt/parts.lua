-- The parts of a token as lua-resty-jwt sees them: base64url, JSON, payloads that are no JSON, and reasons.

local digits = require "route_native.core.digits"
local library = require "route_native.core.ffi"
local statuses = require "route_native.core.status"

local format = string.format
local ngx = ngx
local OK = statuses.OK

local _M = { INVALID = "invalid jwt string" }

-- Raises an error as lua-resty-jwt's sign() does.
function _M.refuse(...)
    error({ reason = format(...) }, 0)
end

-- Returns an invalid token with a reason.
function _M.invalid(message, ...)
    return { valid = false, verified = false, reason = select("#", ...) > 0 and format(message, ...) or message }
end

-- Encodes a value as base64url without padding. Encodes a table as JSON first, or by the payload encoder.
function _M.encode(self, value, is_payload)
    if type(value) == "table" then
        value = (is_payload and self.payload_encoder or digits.encode)(value)
    end
    return (ngx.encode_base64(value, true):gsub("[+/]", { ["+"] = "-", ["/"] = "_" }))
end

-- Decodes base64url, and then JSON if `json` says so, or by the payload decoder. Returns nil if the text is neither.
function _M.decode(self, text, json, is_payload)
    text = text:gsub("[-_]", { ["-"] = "+", ["_"] = "/" })
    local data = ngx.decode_base64(text .. ("="):rep(-#text % 4))
    if data and json then
        return (is_payload and self.payload_decoder or digits.decode)(data)
    end
    return data
end

-- Returns the decoded JSON of a payload, or the text itself if it is no JSON. Returns nil for a JSON object that the
-- strict parser refuses, such as one with a duplicate member, and for a number, boolean or null: a program that reads a
-- claim of it would end in an error.
function _M.payload_of(self, text)
    if text:match("^%s*{") and library.rn_json_check(text, #text) ~= OK then
        return nil
    end
    local value = (self.payload_decoder or digits.decode)(text)
    if value == nil then
        return text
    end
    return (type(value) == "table" or type(value) == "string") and value or nil
end

-- Returns a value of an unverified header for a reason, which programs log and send: without control characters and
-- without a table's address.
function _M.shown(value)
    if type(value) == "string" then
        return (value:gsub("[%z\1-\31\127]", "?"))
    end
    return type(value) == "number" and tostring(value) or type(value)
end

-- Returns the text of the header or the payload for sign().
function _M.raw_part(self, obj, name)
    local raw = obj["raw_" .. name]
    if raw then
        return _M.decode(self, raw) or _M.refuse("invalid %s: %s", name, raw)
    end
    local part = obj[name]
    if part == nil then
        _M.refuse("missing part %s", name)
    elseif type(part) ~= "table" then
        return tostring(part)
    end
    local text, message = (name == "payload" and self.payload_encoder or digits.encode)(part)
    return text or _M.refuse("invalid %s: %s", name, tostring(message))
end

return _M
