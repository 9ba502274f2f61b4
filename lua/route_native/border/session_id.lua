-- Session ids, their key rings and redirect paths, as the library makes and checks them (src/border/).

local ffi = require "ffi"
local library = require "route_native.core.ffi"
local reason = require "route_native.core.status"

local ffi_string = ffi.string

local OK = reason.OK
local ID_BYTES, DIGEST_BYTES = library.RN_SESSION_ID_BYTES, library.RN_SESSION_DIGEST_BYTES
local RING_BYTES = library.RN_SESSION_KEYS_BYTES
local PATH_BYTES, PAGE_BYTES = library.RN_SESSION_PATH_BYTES, library.RN_SESSION_PAGE_BYTES

-- One of each is enough: they are written and read without a yield in between.
local id_buffer = ffi.new("uint8_t[?]", ID_BYTES)
local digest_buffer = ffi.new("uint8_t[?]", DIGEST_BYTES)
local ring_buffer = ffi.new("uint8_t[?]", RING_BYTES)
local path_buffer = ffi.new("uint8_t[?]", PATH_BYTES)
local page_buffer = ffi.new("uint8_t[?]", PAGE_BYTES)
local length = ffi.new("size_t[1]")
local age = ffi.new("uint32_t[1]")

local _M = { ID_BYTES = ID_BYTES, MAX_RING_BYTES = RING_BYTES, MAX_PATH_BYTES = PATH_BYTES }

-- The ring that is to be in the store: `ring` itself, or its successor when its newest key has been in force for
-- `period` seconds; "" gives a first one. Returns nil and the reason's name when `ring` is malformed.
function _M.next_ring(ring, now, period, notice)
    local status = library.rn_session_ring_next(ring, #ring, now, period, notice, ring_buffer, RING_BYTES, length)
    if status ~= OK then
        return nil, reason.name(status)
    end
    return ffi_string(ring_buffer, length[0])
end

-- The ring that was read last, as its text and its handle: a worker uses one at a time.
local known, known_handle

-- Returns the handle of a ring, or nil and the status.
local function handle_of(ring)
    if ring ~= known then
        local handle = ffi.new("rn_session_keys *[1]")
        local status = library.rn_session_keys_new(ring, #ring, handle)
        if status ~= OK then
            return nil, status
        end
        known_handle = ffi.gc(handle[0], function(keys) library.rn_session_keys_free(keys) end)
        known = ring
    end
    return known_handle
end

-- A new id. Returns nil and the reason's name when the ring is malformed.
function _M.new_id(ring, now)
    local handle, status = handle_of(ring)
    status = handle and library.rn_session_id_new(handle, now, id_buffer) or status
    if status ~= OK then
        return nil, reason.name(status)
    end
    return ffi_string(id_buffer, ID_BYTES)
end

-- The age in seconds of the session that an id names, or nil and the reason's name.
function _M.check_id(ring, id, now, lifetime)
    local handle, status = handle_of(ring)
    status = handle and library.rn_session_id_check(handle, id, #id, now, lifetime, age) or status
    if status ~= OK then
        return nil, reason.name(status)
    end
    return age[0]
end

-- Signs the path of a page, of at most MAX_PATH_BYTES. Returns nil and the reason's name when the ring is malformed or
-- the path too long.
function _M.sign_page(ring, path, now)
    local handle, status = handle_of(ring)
    status = handle and library.rn_session_page_sign(handle, now, path, #path, page_buffer, PAGE_BYTES, length)
        or status
    if status ~= OK then
        return nil, reason.name(status)
    end
    return ffi_string(page_buffer, length[0])
end

-- The path of a page that was signed less than `lifetime` seconds ago, or nil and the reason's name.
function _M.check_page(ring, page, now, lifetime)
    local handle, status = handle_of(ring)
    status = handle and library.rn_session_page_check(handle, page, #page, now, lifetime, path_buffer, PATH_BYTES,
        length) or status
    if status ~= OK then
        return nil, reason.name(status)
    end
    return ffi_string(path_buffer, length[0])
end

-- What stands for a secret in a store or a counter: its SHA-256 in hexadecimal.
function _M.digest(text)
    library.rn_session_digest(text, #text, digest_buffer)
    return ffi_string(digest_buffer, DIGEST_BYTES)
end

-- Whether a client may be redirected there: a path of the same origin.
function _M.is_local_path(path)
    return library.rn_path_check(path, #path) == OK
end

return _M
