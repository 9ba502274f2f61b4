-- Reads the body of a login within a bound, and finds the user that it names.
--
-- The name is for the rate limit alone. The backend parses the body itself, and may parse it differently. It may ignore
-- the Content-Type, fold the case of field names (Go), treat dots and blanks as underscores (PHP), accept JSON in
-- UTF-16 (Python), or inflate the body (Express). A body with two readings is refused, so that no attacker can have one
-- name counted and try another one.
--
-- Anybody may send a body, so the work is bounded by a number of fields, values and characters.

local cjson = require("cjson.safe").new()
local ffi = require "ffi"
local library = require "route_native.core.ffi"

local ngx = ngx
local find, lower, match, sub = string.find, string.lower, string.match, string.sub

local MAX_FIELDS = 100
local DIGEST_BYTES = library.RN_LOGIN_NAME_BYTES
-- Backends write a larger whole number in different ways.
local MAX_NUMBER = 1e15
local digest = ffi.new("uint8_t[?]", DIGEST_BYTES)
local field_match = ffi.new("uint32_t[1]")
local KINDS = { ["application/json"] = "json", ["text/json"] = "json", ["application/x-www-form-urlencoded"] = "form" }
-- The allowed charsets. True: a body with other bytes than ASCII differs from UTF-8.
local ONLY_ASCII = { ["utf-8"] = false, utf8 = false, ["us-ascii"] = true, ["iso-8859-1"] = true }

local _M = {}

-- Returns whether the request's body has a Content-Encoding: a backend may decode it into another text. `headers` is
-- ngx.req.get_headers(0). A backend that speaks CGI treats `_` in a header's name as `-`.
function _M.is_encoded(headers)
    local value, other = rawget(headers, "content-encoding"), rawget(headers, "content_encoding")
    return other ~= nil or value ~= nil and value ~= "" and (type(value) ~= "string" or lower(value) ~= "identity")
end

-- Returns the request's Content-Type, or a table if there are several. `headers` and `_` are as for is_encoded().
function _M.content_type(headers)
    return rawget(headers, "content_type") and {} or headers["content-type"]
end

-- Returns the request's body, or nil and a status: 411 if its length is unknown over HTTP/2, 413 if it is too large.
function _M.read(max_bytes)
    local announced = tonumber(ngx.var.http_content_length)
    if announced and announced > max_bytes then
        return nil, 413
    end
    -- read_body() raises an error over HTTP/2 if the client sent no Content-Length.
    if not pcall(ngx.req.read_body) then
        return nil, 411
    end
    local body = ngx.req.get_body_data()
    if not body and ngx.req.get_body_file() then
        -- nginx buffers a body beyond client_body_buffer_size in a file, up to client_max_body_size.
        local file = io.open(ngx.req.get_body_file(), "rb")
        body = file and file:read(max_bytes + 1) or ""
        if file then
            file:close()
        end
    end
    if body and #body > max_bytes then
        return nil, 413
    end
    return body or ""
end

-- Returns the digest of a name, which is equal for names that a backend may treat as equal; nil if the name is too
-- long.
function _M.digest_of(name)
    return library.rn_login_name_digest(name, #name, digest) == 0 and ffi.string(digest, DIGEST_BYTES) or nil
end

-- Returns whether a backend may treat a field as the one of that name: 0 for no, 1 for yes, 2 for unknown.
local function match_field(field, name)
    return library.rn_login_field_check(field, #field, name, #name, field_match) == 0 and field_match[0] or 2
end

-- Returns the value of the field that matches a name, or nil; and whether that is ambiguous, because several fields
-- match or there are too many fields.
local function field_of(fields, name)
    local result, count, matches = nil, 0, 0
    for field, value in pairs(fields) do
        count = count + 1
        local like = match_field(field, name)
        if count > MAX_FIELDS or like == 2 then
            return nil, true
        elseif like == 1 then
            result, matches = value, matches + 1
        end
    end
    return result, matches > 1
end

-- Finds the next charset in the parameters of a Content-Type, from a position on. Returns it and the position to
-- continue from, or nil.
local function next_charset(parameters, from)
    local _, name_end = find(parameters, "charset", from, true)
    while name_end do
        -- Search step by step: one pattern would search from each `charset` to the end, which is quadratic.
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

-- Returns the fields of a form, or nil if the form is ambiguous.
local function form_of(body)
    if library.rn_login_form_check(body, #body) ~= 0 then
        return nil
    end
    local fields, truncated = ngx.decode_args(body, MAX_FIELDS)
    return not truncated and fields or nil
end

-- Returns the fields of a form if it has each of the named fields exactly once, as a text; otherwise nil.
function _M.form(body, names)
    local fields = form_of(body)
    if not fields then
        return nil
    end
    for _, name in ipairs(names) do
        local _, is_ambiguous = field_of(fields, name)
        if is_ambiguous or type(fields[name]) ~= "string" then
            return nil
        end
    end
    return fields
end

-- Removes the fields that a backend may treat as the one of that name.
function _M.remove_field(fields, name)
    for field in pairs(fields) do
        if match_field(field, name) ~= 0 then
            fields[field] = nil
        end
    end
end

-- Returns the kind of body that a Content-Type names, "json", "form", "multipart", "other" or "none", and whether the
-- body must be ASCII. Returns nil if it is malformed, or if its charset encodes ASCII differently, as UTF-7 does.
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

-- Returns a text with `&` for its first semicolons. Older parsers of forms split at semicolons too.
local function split_at_semicolons(body)
    local parts, from = {}, 1
    for i = 1, MAX_FIELDS + 1 do
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

-- Returns whether a JSON text, parsed as a form, names the user too. Some programs ignore the Content-Type.
local function is_form_too(body, field)
    if not find(body, "=", 1, true) then
        return false
    end
    local text = split_at_semicolons(body)
    local fields, truncated = ngx.decode_args(text, MAX_FIELDS)
    if truncated or find(text, "&", 1, true) and (find(text, "%u", 1, true) or find(text, "%U", 1, true)) then
        return true
    end
    local result, is_ambiguous = field_of(fields, field)
    return is_ambiguous or (result and result ~= true)
end

-- Returns the text of a member's value, nil for no name, or nil and 400 if backends convert the value differently.
local function name_of(value)
    if value == nil or value == cjson.null or type(value) == "string" then
        return value ~= cjson.null and value or nil
    elseif type(value) ~= "number" or value % 1 ~= 0 or math.abs(value) >= MAX_NUMBER then
        return nil, 400
    end
    return value == 0 and "0" or ("%.0f"):format(value)
end

-- Returns the user that a JSON object names, nil for nobody, or nil and 400.
local function user_of_object(body, field)
    local fields = library.rn_login_object_check(body, #body) == 0 and cjson.decode(body)
    if not fields or is_form_too(body, field) then
        return nil, 400
    end
    local user, is_ambiguous = field_of(fields, field)
    if is_ambiguous then
        return nil, 400
    end
    return name_of(user)
end

-- Returns the user that a form names, nil for nobody, or nil and 400.
local function user_of_form(body, field)
    local fields = form_of(body)
    if not fields then
        return nil, 400
    end
    local user, is_ambiguous = field_of(fields, field)
    if is_ambiguous or type(user) == "table" then
        return nil, 400
    end
    return type(user) == "string" and user or nil
end

-- Returns the user that a body of a kind names, nil for nobody, or nil and 400 if the body is ambiguous.
local function user_by_kind(body, field, kind)
    if find(body, "\0", 1, true) or find(body, "^\239\187\191") then
        return nil, 400 -- UTF-16, UTF-32, or a byte order mark
    elseif find(body, "^%s*{") and kind ~= "multipart" then
        -- Under any other type too: `curl -d` sends everything as a form.
        return user_of_object(body, field)
    elseif (kind == "form" or kind == "none") and find(body, "^[%w_%%+.&=%[]") then
        return user_of_form(body, field)
    end
    -- Only the backend can tell whom a multipart or XML body names. A body that does not match its type is refused. So
    -- is one that begins like JSON, even behind a comment, or like a query (URLSearchParams drops the `?`), and a body
    -- without a type that Rack parses as a form.
    local mismatch = kind == "json" or (kind == "form" and body ~= "") or find(body, "^%s*[{/]") or find(body, "^%?")
        or kind == "none" and is_form_too(body, field)
    return nil, mismatch and 400 or nil
end

-- Returns the user that a body with a Content-Type names, nil for nobody, or nil and 400 if the body is ambiguous.
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
