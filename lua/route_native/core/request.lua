-- Reads and writes the request in nginx's own memory, in the form that the library takes. Nothing here makes a Lua
-- string.

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

-- This buffer holds the headers of nearly every request. A request with more headers gets an array of its own.
local BUFFERED_HEADERS = 64
-- The default of nginx's max_headers.
local MAX_HEADERS = 1000
local header_array = ffi.typeof("ngx_http_lua_ffi_table_elt_t[?]")
local header_buffer = header_array(BUFFERED_HEADERS)
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

-- Returns the request's headers and their count. They are valid until the next call.
function _M.headers(r)
    local count = C.ngx_http_lua_ffi_req_get_headers_count(r, 0, truncated)
    if count < 0 then
        error("route_native: resolve() cannot run in this phase", 2)
    end
    local headers = header_buffer
    if count > BUFFERED_HEADERS then
        headers = header_array(count)
        -- The caller gets a bare pointer. This reference keeps the array alive while it is read.
        _M.large_headers = headers
    end
    C.ngx_http_lua_ffi_req_get_headers(r, headers, count, 1)
    return cast(header_pointer, headers), count
end

-- Returns whether a request has too many headers to clear some of them. nginx searches all headers for each one that it
-- clears, so thousands of one name would block the event loop for seconds. Newer versions of nginx refuse such a
-- request with 400 themselves (max_headers).
function _M.has_too_many_headers(r)
    return C.ngx_http_lua_ffi_req_get_headers_count(r, 0, truncated) > MAX_HEADERS
end

-- Returns whether the request has a query that is not empty.
function _M.has_query(r)
    return C.ngx_http_lua_ffi_req_get_querystring_len(r) ~= 0
end

-- Points value_pointer and value_length at a variable's own memory. Returns whether the configuration has set the
-- variable.
function _M.is_set(r, name)
    return C.ngx_http_lua_ffi_var_get(r, name, #name, lower_name, 0, value_pointer, value_length, get_error) == 0
end

-- Returns whether a variable is set and not empty.
function _M.has_value(r, name)
    return _M.is_set(r, name) and value_length[0] ~= 0
end

-- Returns the text that is_set() or has_value() has found.
function _M.found_text()
    return ffi.string(value_pointer[0], value_length[0])
end

-- Sets a variable from bytes or a string. Returns false when the configuration declares no such variable.
function _M.set(r, name, value, length)
    error_length[0] = ERROR_BYTES
    return C.ngx_http_lua_ffi_var_set(r, name, #name, lower_name, value, length, error_text, error_length) == 0
end

-- Overwrites `length` bytes of a variable's own memory with `*`, starting at `offset`, which begins at 0. nginx logs a
-- request from this memory, so a secret must be overwritten before anything can be logged.
function _M.scrub(r, name, offset, length)
    if _M.is_set(r, name) and offset + length <= value_length[0] then
        fill(value_pointer[0] + offset, length, 42)
    end
end

-- Overwrites every occurrence of a secret in a variable's own memory, starting at `offset`, which begins at 0.
function _M.scrub_all(r, name, offset, secret)
    if not _M.is_set(r, name) then
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

-- Overwrites every token in a variable's own memory, starting at `offset`. Returns whether there was one.
function _M.scrub_tokens(r, name, offset)
    if not _M.is_set(r, name) then
        return false
    end
    local memory, length = value_pointer[0], tonumber(value_length[0])
    local from, stop = scan.token(memory, length, offset)
    local is_found = from ~= nil
    while from do
        fill(memory + from, stop - from, 42)
        from, stop = scan.token(memory, length, stop)
    end
    return is_found
end

return _M
