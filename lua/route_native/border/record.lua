-- Reads and writes the record of a session, {"master_token":"…","service_tokens":{"SERVICE":"…"},"identity":"…"}: JSON
-- in the store and a table in Lua. The identity is what the session can be revoked by, in base64.

local cjson = require "cjson.safe"
local library = require "route_native.core.ffi"

local find = string.find
local ngx = ngx

-- Longer tokens may not fit into a header.
local MAX_TOKEN_BYTES = 8192

local _M = {}

-- Returns whether a value may be sent as Auth-Token: printable, without blanks, of bounded length.
function _M.is_token(value)
    return type(value) == "string" and #value <= MAX_TOKEN_BYTES and find(value, "^[\33-\126]+$") ~= nil
end

-- Checks the service tokens of another server. Returns them, or nil if one is no token.
function _M.service_tokens(value)
    if type(value) ~= "table" then
        return nil
    end
    for name, token in pairs(value) do
        if type(name) ~= "string" or not _M.is_token(token) then
            return nil
        end
    end
    return value
end

-- Parses a JSON object of the store or of a service, whose number of values is bounded. Returns nil for any other text.
function _M.parse(text)
    return library.rn_json_check(text, #text) == 0 and cjson.decode(text) or nil
end

-- Returns the record of a JSON text, or nil if the text is no record.
function _M.decode(text)
    local record = _M.parse(text)
    if not record or not _M.is_token(record.master_token) then
        return nil
    end
    local tokens = _M.service_tokens(record.service_tokens == nil and {} or record.service_tokens)
    local identity = type(record.identity) == "string" and ngx.decode_base64(record.identity) or nil
    return tokens and { master_token = record.master_token, service_tokens = tokens, identity = identity }
end

_M.fresh = _M.decode

-- Returns a record as JSON.
function _M.encode(record)
    local identity = record.identity and ',"identity":"' .. ngx.encode_base64(record.identity) .. '"' or ""
    return '{"master_token":' .. cjson.encode(record.master_token)
        .. ',"service_tokens":' .. cjson.encode(record.service_tokens) .. identity .. "}"
end

return _M
