-- Creates the objects of the library that Lua owns. Each is freed when its handle is collected.

local ffi = require "ffi"
local library = require "route_native.core.ffi"

local ERROR_BYTES, OK = library.RN_ERROR_BYTES, library.RN_OK

-- Shared by all requests: they are written and read without a yield in between.
local message, length = ffi.new("uint8_t[?]", ERROR_BYTES), ffi.new("size_t[1]")

local _M = {}

-- Sets texts of a struct, each with its length. The struct points into the texts, and does not keep them alive.
function _M.set_texts(struct, texts)
    for name, text in pairs(texts) do
        struct[name], struct[name .. "_length"] = text, #text
    end
end

-- Calls a function of the library whose last arguments are those of an error: `call(message, capacity, length)`.
-- Returns its status, and the error or the notes that it wrote.
function _M.call(call)
    length[0] = 0
    local status = call(message, ERROR_BYTES, length)
    return status, ffi.string(message, length[0])
end

-- Creates an object of a type such as "rn_keys" by `create(handle, message, capacity, length)`. Returns its handle and
-- the notes of the library, or nil, the error and the status.
function _M.new(type, create)
    local handle = ffi.new(type .. " *[1]")
    local status, text = _M.call(function(...) return create(handle, ...) end)
    if status ~= OK then
        return nil, text, status
    end
    local free = type .. "_free"
    -- The function keeps the library loaded as long as the handle lives: a finalizer must not outlive its code.
    return ffi.gc(handle[0], function(object) library[free](object) end), text
end

return _M
