-- A login's body: read within a bound, and asked whom it names.
--
-- The name is for the rate limit alone, and the backend reads the body for itself, perhaps in another way: as what the
-- Content-Type says or as what it always expects, names of fields without regard to case, as Go does, dots and blanks
-- for underscores, as PHP does, JSON in UTF-16, as Python does, inflated, as Express does. What could be read in two
-- ways is refused, so that nobody can let one name be counted and try another one.
--
-- A reader does no more work than a bounded number of fields, values and characters takes: anybody may send a body.

local cjson = require("cjson.safe").new()
local ffi = require "ffi"
local library = require "route_native.core.ffi"

local ngx = ngx
local find, lower, match, sub = string.find, string.lower, string.match, string.sub

local MOST_FIELDS = 100
local DIGEST_BYTES = library.RN_LOGIN_NAME_BYTES
-- A larger whole number has more than one text.
local MOST_DIGITS = 1e15
local digest = ffi.new("uint8_t[?]", DIGEST_BYTES)
local may_be = ffi.new("uint32_t[1]")
local KINDS = { ["application/json"] = "json", ["text/json"] = "json", ["application/x-www-form-urlencoded"] = "form" }
-- Whether ASCII alone means in a charset what it means in UTF-8.
local ONLY_ASCII = { ["utf-8"] = false, utf8 = false, ["us-ascii"] = true, ["iso-8859-1"] = true }

local _M = {}

-- Returns whether the request's body is encoded, so that a backend may read another text than the one that is here.
-- `headers` is ngx.req.get_headers(0). A backend that speaks CGI takes `_` in a name for `-`.
function _M.is_encoded(headers)
    local value, other = rawget(headers, "content-encoding"), rawget(headers, "content_encoding")
    return other ~= nil or value ~= nil and value ~= "" and (type(value) ~= "string" or lower(value) ~= "identity")
end

-- Returns the request's Content-Type, or a table when there are several. `headers` and `_` are as for is_encoded().
function _M.content_type(headers)
    return rawget(headers, "content_type") and {} or headers["content-type"]
end

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

-- Stands for a name and for all that may be taken for it; nil when the name is longer than names are.
function _M.digest_of(name)
    return library.rn_login_name_digest(name, #name, digest) == 0 and ffi.string(digest, DIGEST_BYTES) or nil
end

-- Whether a backend may take a field for the one of that name: 0, 1, or 2 when that cannot be told.
local function likeness(field, name)
    return library.rn_login_field_check(field, #field, name, #name, may_be) == 0 and may_be[0] or 2
end

-- The value under a name, or nil and whether several fields may be taken for it, or are too many to look at.
local function field_of(fields, name)
    local found, count, matches = nil, 0, 0
    for field, value in pairs(fields) do
        count = count + 1
        local like = likeness(field, name)
        if count > MOST_FIELDS or like == 2 then
            return nil, true
        elseif like == 1 then
            found, matches = value, matches + 1
        end
    end
    return found, matches > 1
end

-- The next charset that the parameters of a Content-Type name, from a position on, and where to look for another. nil
-- when there is none.
local function next_charset(parameters, from)
    local _, name_end = find(parameters, "charset", from, true)
    while name_end do
        -- From each place to the next: one pattern for all would look from each `charset` to the end.
        local stop = find(parameters, "[=;]", name_end + 1)
        if not stop then
            return nil
        elseif sub(parameters, stop, stop) == "=" then
            local _, value_end, charset = find(parameters, "^%s*[\"']?([^%s;,\"']*)", stop + 1)
            return charset, value_end + 1
        end
        _, name_end = find(parameters, "charset", stop, true)
    end
end

-- Reads a form that has one reading. Returns its fields, or nil.
local function form_of(body)
    if library.rn_login_form_check(body, #body) ~= 0 then
        return nil
    end
    local fields, truncated = ngx.decode_args(body, MOST_FIELDS)
    return not truncated and fields or nil
end

-- Reads a form that is to have each of the named fields once, as a text. Returns its fields, or nil.
function _M.form(body, names)
    local fields = form_of(body)
    if not fields then
        return nil
    end
    for _, name in ipairs(names) do
        local _, unclear = field_of(fields, name)
        if unclear or type(fields[name]) ~= "string" then
            return nil
        end
    end
    return fields
end

-- Removes what a backend may take for a field of that name.
function _M.remove_field(fields, name)
    for field in pairs(fields) do
        if likeness(field, name) ~= 0 then
            fields[field] = nil
        end
    end
end

-- What a Content-Type says of the body: "json", "form", "multipart", "other" or "none", and whether it must be ASCII.
-- nil when that is not one type, or its charset writes ASCII in another way, as UTF-7 does.
local function kind_of(content_type)
    if not content_type or content_type == "" then
        return "none"
    elseif type(content_type) ~= "string" then
        return nil
    end
    local media, parameters = match(lower(content_type), "^([%w.+_-]+/[%w.+_-]+)%s*(.*)$")
    if not media or not find(parameters, "^;") and parameters ~= "" then
        return nil
    end
    local only_ascii = false
    local charset, from = next_charset(parameters, 1)
    while charset do
        if ONLY_ASCII[charset] == nil then
            return nil
        end
        only_ascii = only_ascii or ONLY_ASCII[charset]
        charset, from = next_charset(parameters, from)
    end
    local kind = KINDS[media] or find(media, "%+json$") and "json" or find(media, "^multipart/") and "multipart"
    return kind or "other", only_ascii
end

-- The first fields of a text, parted at semicolons too, as older readers of forms do.
local function with_ampersands(body)
    local parts, from = {}, 1
    for i = 1, MOST_FIELDS + 1 do
        local at = find(body, ";", from, true)
        if not at then
            break
        end
        parts[i] = sub(body, from, at - 1)
        from = at + 1
    end
    parts[#parts + 1] = sub(body, from)
    return table.concat(parts, "&")
end

-- Whether a JSON text names the user to who takes it for a form, as programs do that never look at the type.
local function is_form_too(body, field)
    if not find(body, "=", 1, true) then
        return false
    end
    local text = with_ampersands(body)
    local fields, truncated = ngx.decode_args(text, MOST_FIELDS)
    if truncated or find(text, "&", 1, true) and (find(text, "%u", 1, true) or find(text, "%U", 1, true)) then
        return true
    end
    local found, unclear = field_of(fields, field)
    return unclear or (found and found ~= true)
end

-- A member's value as the text that a backend may make of it, or nil and 400 when backends differ.
local function name_of(value)
    if value == nil or value == cjson.null or type(value) == "string" then
        return value ~= cjson.null and value or nil
    elseif type(value) ~= "number" or value % 1 ~= 0 or math.abs(value) >= MOST_DIGITS then
        return nil, 400
    end
    return value == 0 and "0" or ("%.0f"):format(value)
end

local function user_of_object(body, field)
    local fields = library.rn_login_object_check(body, #body) == 0 and cjson.decode(body)
    if not fields or is_form_too(body, field) then
        return nil, 400
    end
    local user, unclear = field_of(fields, field)
    if unclear then
        return nil, 400
    end
    return name_of(user)
end

local function user_of_form(body, field)
    local fields = form_of(body)
    if not fields then
        return nil, 400
    end
    local user, unclear = field_of(fields, field)
    if unclear or type(user) == "table" then
        return nil, 400
    end
    return type(user) == "string" and user or nil
end

-- Whom the body names by its kind: nil when nobody, or nil and 400 when it could be read in two ways.
local function user_by_kind(body, field, kind)
    if find(body, "\0", 1, true) or find(body, "^\239\187\191") then
        return nil, 400 -- UTF-16, UTF-32, or with a mark that says what it is
    elseif find(body, "^%s*{") and kind ~= "multipart" then
        -- Under any other type too: `curl -d` calls all that it sends a form.
        return user_of_object(body, field)
    elseif (kind == "form" or kind == "none") and find(body, "^[%w_%%+.&=%[]") then
        return user_of_form(body, field)
    end
    -- A backend that reads multipart or XML may know better whom it names. What is not as its type says is refused. So
    -- is what begins like JSON, behind a comment too, or like a query (URLSearchParams drops its `?`), and what Rack
    -- takes for a form because no type is named.
    local mismatch = kind == "json" or (kind == "form" and body ~= "") or find(body, "^%s*[{/]") or find(body, "^%?")
        or kind == "none" and is_form_too(body, field)
    return nil, mismatch and 400 or nil
end

-- Whom a body names that came with a Content-Type: nil when nobody, or nil and 400 when it could be read in two ways.
function _M.user(body, field, content_type)
    local kind, only_ascii = kind_of(content_type)
    if not kind then
        return nil, 400
    end
    local user, status = user_by_kind(body, field, kind)
    if user and only_ascii and find(user, "[\128-\255]") then
        return nil, 400
    end
    return user, status
end

return _M
