-- Reads and writes the record of a session: JSON in the store and a table in Lua. It holds the tokens, which no browser
-- gets, and the claims. The identity is what the session can be revoked by, in base64.

local cjson = require "cjson.safe"

local ngx = ngx

-- The parsed records of a worker. Each has the tokens of a session, some KB.
local MAX_CACHED = 500
local cached = assert(require("resty.lrucache").new(MAX_CACHED))

local _M = {}

local function is_text(value)
    return value == nil or type(value) == "string"
end

-- Returns the record of a JSON text, or nil if the text is no record.
function _M.fresh(text)
    local record = cjson.decode(text)
    if type(record) ~= "table" or type(record.provider) ~= "string" or type(record.sub) ~= "string"
        or type(record.claims) ~= "table" or type(record.access_token) ~= "string" or not is_text(record.id_token)
        or not is_text(record.refresh_token) or not is_text(record.identity) then
        return nil
    end
    record.identity = record.identity and ngx.decode_base64(record.identity)
    return record
end

-- Does the same, and parses a text once: a page loads many things with one session. Nobody changes the record.
function _M.decode(text)
    local record = cached:get(text)
    if not record then
        record = _M.fresh(text)
        cached:set(text, record)
    end
    return record
end

-- Returns a record as JSON.
function _M.encode(record)
    local identity = record.identity
    record.identity = identity and ngx.encode_base64(identity)
    local text = cjson.encode(record)
    record.identity = identity
    return text
end

return _M
