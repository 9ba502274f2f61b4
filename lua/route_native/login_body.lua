-- A login's body: read within a bound, and asked whom it names.
--
-- The name is for the rate limit alone, and the backend reads the body for itself, perhaps in another way: names of
-- fields without regard to case, as Go does, dots and blanks for underscores, as PHP does, JSON in UTF-16, as Python
-- does. What could be read in two ways is refused, so that nobody can let one name be counted and try another one.

local cjson = require("cjson.safe").new()
local ffi = require "ffi"
local library = require "route_native.library"

local ngx = ngx
local find, gsub, match = string.find, string.gsub, string.match

local MOST_FIELDS = 100
local DIGEST_BYTES = 32
local digest = ffi.new("uint8_t[?]", DIGEST_BYTES)

local _M = {}

-- The request's body, or nil and a status: 411 when its length is not known over HTTP/2, 413 when it is too large.
function _M.read(most_bytes)
    local announced = tonumber(ngx.var.http_content_length)
    if announced and announced > most_bytes then
        return nil, 413
    end
    -- Raises over HTTP/2 when the client did not say how long the body is.
    if not pcall(ngx.req.read_body) then
        return nil, 411
    end
    local body = ngx.req.get_body_data()
    if not body and ngx.req.get_body_file() then
        -- Larger than nginx keeps in memory (client_body_buffer_size): it is still bounded by client_max_body_size.
        local file = io.open(ngx.req.get_body_file(), "rb")
        body = file and file:read(most_bytes + 1) or ""
        if file then
            file:close()
        end
    end
    if body and #body > most_bytes then
        return nil, 413
    end
    return body or ""
end

-- Stands for a name and for all that may be taken for it; nil when there is none, as nothing may stand for two names.
function _M.digest_of(name)
    return library.rn_login_name_digest(name, #name, digest) == 0 and ffi.string(digest, DIGEST_BYTES) or nil
end

-- The value under a name, or nil and whether several fields may be taken for it, or are too many to look at.
local function field_of(fields, name)
    local wanted = _M.digest_of((gsub(name, "[ .]", "_")))
    local found, count, matches = nil, 0, 0
    for field, value in pairs(fields) do
        count = count + 1
        if count > MOST_FIELDS then
            return nil, true
        elseif wanted and type(field) == "string" and _M.digest_of((gsub(field, "[ .]", "_"))) == wanted then
            found, matches = value, matches + 1
        end
    end
    return found, matches > 1
end

-- The fields of a JSON object or of a form; nil when they cannot be told.
local function fields_of(body)
    if find(body, "%z") or find(body, "^\239\187\191") then
        return nil -- UTF-16, UTF-32, or with a mark that says what it is
    elseif match(body, "^%s*{") then
        return library.rn_json_check(body, #body) == 0 and cjson.decode(body) or nil
    end
    local fields, truncated = ngx.decode_args(body, MOST_FIELDS)
    return not truncated and fields or nil
end

-- Whom the body names: nil when nobody, or nil and 400 when it could be read in two ways.
function _M.user(body, field)
    local fields = fields_of(body)
    if not fields then
        return nil, 400
    end
    local user, unclear = field_of(fields, field)
    if unclear or (type(user) == "table" and not match(body, "^%s*{")) then
        return nil, 400
    elseif type(user) == "number" then
        return ("%.14g"):format(user)
    end
    return type(user) == "string" and user or nil
end

return _M
