-- Plain scans over what clients and servers send. Each looks at a byte a fixed number of times, whatever it reads. A
-- Lua pattern that backtracks, such as `^(.-)%s*$` over 32 KB of blanks, holds the event loop for seconds.

local ffi = require "ffi"
local library = require "route_native.core.ffi"

local C = ffi.C
local cast, ffi_string = ffi.cast, ffi.string
local find, match, sub = string.find, string.match, string.sub

-- Linear in glibc and in musl, also for needles of which every piece begins like the whole.
ffi.cdef [[ void *memmem(const void *text, size_t length, const void *needle, size_t needle_length); ]]

-- Written and read without a yield in between.
local found = ffi.new("rn_found")
local length = ffi.new("size_t[1]")
local bytes = ffi.typeof("const uint8_t *")
local buffer_of = ffi.typeof("uint8_t[?]")

-- Room for what is left of nearly every Cookie header; a larger one gets its own.
local USUAL_BYTES = 8192
local usual_buffer = buffer_of(USUAL_BYTES)

local _M = {}

-- The text without the blanks at its end.
function _M.trim_end(text)
    return match(text, "^.*%S") or ""
end

-- The text without the blanks at both ends.
function _M.trim(text)
    -- Where nothing but blanks is, the second pattern would be tried from each of them.
    local first = find(text, "%S")
    return first and match(text, "^.*%S", first) or ""
end

-- Where `needle`, which is not empty, begins in a piece of memory, counted from 0; nil when it does not stand there.
function _M.offset(memory, memory_length, needle)
    memory = cast(bytes, memory)
    local at = C.memmem(memory, memory_length, needle, #needle)
    return at ~= nil and tonumber(cast(bytes, at) - memory) or nil
end

-- What is left of a text without a piece of it that is not empty, wherever that stands.
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

-- The next cookie with a name in a Cookie header, from a position on. Returns its value, and where to look for another;
-- nil when there is none.
function _M.cookie(header, name, from)
    library.rn_cookie_find(header, #header, name, #name, (from or 1) - 1, found)
    if found.is_there == 0 then
        return nil
    end
    return sub(header, found.value_start + 1, found.value_end), found.stop + 2
end

-- A Cookie header without the cookies that `names` lists, separated by semicolons; "" when nothing is left. With
-- `any_prefix`, also without those whose name has a prefix such as __Host-.
function _M.without_cookies(header, names, any_prefix)
    local capacity, buffer = math.ceil(#header * 1.5), usual_buffer
    if capacity > USUAL_BYTES then
        buffer = buffer_of(capacity)
    end
    library.rn_cookies_without(header, #header, names, #names, any_prefix and 1 or 0, buffer, capacity, length)
    return ffi_string(buffer, length[0])
end

-- The next argument with a name (in lower case) in a query, from a position on. Returns its value, and the positions
-- where the argument begins and where it ends; nil when there is none.
function _M.argument(query, name, from)
    library.rn_argument_find(query, #query, name, #name, (from or 1) - 1, found)
    if found.is_there == 0 then
        return nil
    end
    return sub(query, found.value_start + 1, found.value_end), found.start + 1, found.stop
end

return _M
