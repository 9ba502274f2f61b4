-- Scans texts of clients and servers in linear time: each function reads a byte a fixed number of times. A Lua pattern
-- that backtracks, such as `^(.-)%s*$` over 32 KB of blanks, blocks the event loop for seconds.

local ffi = require "ffi"
local library = require "route_native.core.ffi"

local C = ffi.C
local cast, ffi_string = ffi.cast, ffi.string
local find, match, sub = string.find, string.match, string.sub

-- memmem() is linear in glibc and musl, even for repetitive needles.
ffi.cdef [[ void *memmem(const void *text, size_t length, const void *needle, size_t needle_length); ]]

-- Shared by all requests: they are written and read without a yield in between.
local result = ffi.new("rn_found")
local length = ffi.new("size_t[1]")
local bytes = ffi.typeof("const uint8_t *")
local buffer_of = ffi.typeof("uint8_t[?]")

-- This buffer fits nearly every Cookie header. A larger one gets a buffer of its own.
local BUFFER_BYTES = 8192
local shared_buffer = buffer_of(BUFFER_BYTES)

local _M = {}

-- Returns the text without the blanks at its end.
function _M.trim_end(text)
    return match(text, "^.*%S") or ""
end

-- Returns the text without the blanks at both ends.
function _M.trim(text)
    -- On nothing but blanks, the second pattern would start at each of them, which is quadratic.
    local first = find(text, "%S")
    return first and match(text, "^.*%S", first) or ""
end

-- Returns the offset of `needle` in a piece of memory, or nil if it is not there. `needle` must not be empty.
function _M.offset(memory, memory_length, needle)
    memory = cast(bytes, memory)
    local at = C.memmem(memory, memory_length, needle, #needle)
    return at ~= nil and tonumber(cast(bytes, at) - memory) or nil
end

-- Returns a text without any occurrence of `piece`, which must not be empty.
function _M.without(text, piece)
    local memory = cast(bytes, text)
    local pieces, from = {}, 0
    local at = _M.offset(memory, #text, piece)
    while at do
        pieces[#pieces + 1] = sub(text, from + 1, from + at)
        from = from + at + #piece
        at = _M.offset(memory + from, #text - from, piece)
    end
    if from == 0 then
        return text
    end
    pieces[#pieces + 1] = sub(text, from + 1)
    return table.concat(pieces)
end

-- Finds the next cookie of a name in a Cookie header, from a position on. Returns its value and the position to
-- continue from, or nil.
function _M.cookie(header, name, from)
    library.rn_cookie_find(header, #header, name, #name, (from or 1) - 1, result)
    if result.is_there == 0 then
        return nil
    end
    return sub(header, result.value_start + 1, result.value_end), result.stop + 2
end

-- Returns the different values of a cookie in a Cookie header, at most `max`, in their order and without quotes. Leaves
-- out empty values. Also returns whether the header has the cookie at all.
function _M.cookies(header, name, max)
    local values, is_known = {}, {}
    local value, from = _M.cookie(header, name)
    local is_there = value ~= nil
    while value and #values < max do
        value = match(value, '^"(.*)"$') or value
        if value ~= "" and not is_known[value] then
            values[#values + 1], is_known[value] = value, true
        end
        value, from = _M.cookie(header, name, from)
    end
    return values, is_there
end

-- Finds the next token in a piece of memory, such as a URL, from an offset on: a compact token, or the value of what is
-- named `…token`, also percent-encoded. Returns the offsets of its first byte and behind its last one, or nil.
function _M.token(memory, memory_length, from)
    library.rn_token_scan(cast(bytes, memory), memory_length, from, result)
    if result.is_there == 0 then
        return nil
    end
    return result.start, result.stop
end

-- Returns a Cookie header without the cookies in `names`, a list separated by semicolons; "" if none is left.
-- `any_prefix` also removes the cookies that have such a name behind a prefix such as __Host-.
function _M.without_cookies(header, names, any_prefix)
    local capacity, buffer = math.ceil(#header * 1.5), shared_buffer
    if capacity > BUFFER_BYTES then
        buffer = buffer_of(capacity)
    end
    library.rn_cookies_without(header, #header, names, #names, any_prefix and 1 or 0, buffer, capacity, length)
    return ffi_string(buffer, length[0])
end

-- Finds the next argument of a name, given in lower case, in a query, from a position on. Returns its value and the
-- positions of its first and last byte, or nil.
function _M.argument(query, name, from)
    library.rn_argument_find(query, #query, name, #name, (from or 1) - 1, result)
    if result.is_there == 0 then
        return nil
    end
    return sub(query, result.value_start + 1, result.value_end), result.start + 1, result.stop
end

return _M
