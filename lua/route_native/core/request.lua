-- The request as the library wants it: nginx's own memory, read and written in place. Nothing here makes a Lua string.

local ffi = require "ffi"
require "route_native.core.cdef"
local scan = require "route_native.core.scan"
require "resty.core.request"
require "resty.core.var"
local base = require "resty.core.base"

local C = ffi.C
local cast = ffi.cast
local fill = ffi.fill
local get_request = base.get_request

-- Room for the headers of nearly every request; one with more gets its own array.
local USUAL_HEADERS = 64
-- As nginx's max_headers.
local MOST_HEADERS = 1000
local header_array = ffi.typeof("ngx_http_lua_ffi_table_elt_t[?]")
local usual_headers = header_array(USUAL_HEADERS)
local header_pointer = ffi.typeof("const rn_header *")
local truncated = ffi.new("int[1]")

-- The library reads the array that nginx fills: their layouts must be the same.
assert(ffi.sizeof("ngx_http_lua_ffi_table_elt_t") == ffi.sizeof("rn_header"),
    "route_native: this lua-nginx-module lays out headers in another way")

local NAME_BYTES, ERROR_BYTES = 64, 256
local lower_name = ffi.new("unsigned char[?]", NAME_BYTES)
local error_text = ffi.new("unsigned char[?]", ERROR_BYTES)
local error_length = ffi.new("size_t[1]")
local value_pointer = ffi.new("char *[1]")
local value_length = ffi.new("size_t[1]")
local get_error = ffi.new("char *[1]")

local _M = { current = get_request }

-- The request's headers, and how many there are. Valid until the next call.
function _M.headers(r)
    local count = C.ngx_http_lua_ffi_req_get_headers_count(r, 0, truncated)
    if count < 0 then
        error("route_native: resolve() cannot run in this phase", 2)
    end
    local headers = usual_headers
    if count > USUAL_HEADERS then
        headers = header_array(count)
        -- What is handed out is a bare pointer: this keeps the array alive while it is read.
        _M.large = headers
    end
    C.ngx_http_lua_ffi_req_get_headers(r, headers, count, 1)
    return cast(header_pointer, headers), count
end

-- Whether a request has more headers than are looked through one by one. nginx looks through all of them again for each
-- one that is taken out, so that thousands under one name would hold the event loop for seconds. Newer versions refuse
-- such a request themselves, with a 400 too (max_headers).
function _M.has_too_many_headers(r)
    return C.ngx_http_lua_ffi_req_get_headers_count(r, 0, truncated) > MOST_HEADERS
end

-- Whether the request has a query that is not empty.
function _M.has_query(r)
    return C.ngx_http_lua_ffi_req_get_querystring_len(r) ~= 0
end

-- Whether the configuration has set a variable; its value becomes no Lua string.
function _M.is_set(r, name)
    return C.ngx_http_lua_ffi_var_get(r, name, #name, lower_name, 0, value_pointer, value_length, get_error) == 0
end

-- Whether a variable is set, and to something.
function _M.has_value(r, name)
    return _M.is_set(r, name) and value_length[0] ~= 0
end

-- Sets an nginx variable from bytes or a string. Returns false when the configuration declares no such variable.
function _M.set(r, name, value, length)
    error_length[0] = ERROR_BYTES
    return C.ngx_http_lua_ffi_var_set(r, name, #name, lower_name, value, length, error_text, error_length) == 0
end

-- Points value_pointer and value_length at a variable's own memory. Returns whether it has any.
local function locate(r, name)
    return C.ngx_http_lua_ffi_var_get(r, name, #name, lower_name, 0, value_pointer, value_length, get_error) == 0
end

-- Overwrites `length` bytes of a variable's own memory with `*`, from `offset` (from 0) on.
-- What nginx logs of a request is this memory, so a secret in it must be gone before anything can be logged.
function _M.scrub(r, name, offset, length)
    if locate(r, name) and offset + length <= value_length[0] then
        fill(value_pointer[0] + offset, length, 42)
    end
end

-- Overwrites a secret wherever it stands in a variable's own memory, from `offset` (from 0) on.
function _M.scrub_all(r, name, offset, secret)
    if not locate(r, name) then
        return
    end
    local memory, left = value_pointer[0] + offset, tonumber(value_length[0]) - offset
    local at = scan.offset(memory, left, secret)
    while at do
        fill(memory + at, #secret, 42)
        memory, left = memory + at + #secret, left - at - #secret
        at = scan.offset(memory, left, secret)
    end
end

return _M
