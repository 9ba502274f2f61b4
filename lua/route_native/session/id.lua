-- Makes and checks session ids, their key rings and redirect paths. The library does the work (src/border/).

local ffi = require "ffi"
local handles = require "route_native.core.handle"
local library = require "route_native.core.ffi"
local statuses = require "route_native.core.status"

local ffi_string = ffi.string

local OK = statuses.OK
local ID_BYTES, DIGEST_BYTES = library.RN_SESSION_ID_BYTES, library.RN_SESSION_DIGEST_BYTES
local RING_BYTES = library.RN_SESSION_KEYS_BYTES
local PATH_BYTES, PAGE_BYTES = library.RN_SESSION_PATH_BYTES, library.RN_SESSION_PAGE_BYTES

-- Shared by all requests: they are written and read without a yield in between.
local id_buffer = ffi.new("uint8_t[?]", ID_BYTES)
local digest_buffer = ffi.new("uint8_t[?]", DIGEST_BYTES)
local ring_buffer = ffi.new("uint8_t[?]", RING_BYTES)
local path_buffer = ffi.new("uint8_t[?]", PATH_BYTES)
local page_buffer = ffi.new("uint8_t[?]", PAGE_BYTES)
local length = ffi.new("size_t[1]")
local age = ffi.new("uint32_t[1]")

local _M = { ID_BYTES = ID_BYTES, MAX_RING_BYTES = RING_BYTES, MAX_PATH_BYTES = PATH_BYTES }

-- Returns the ring that the store should hold: `ring` itself, or its successor when its newest key has signed for
-- `period` seconds. Returns a first ring for "". Returns nil and the reason's name if `ring` is malformed.
function _M.next_ring(ring, now, period, notice)
    local status = library.rn_session_ring_next(ring, #ring, now, period, notice, ring_buffer, RING_BYTES, length)
    if status ~= OK then
        return nil, statuses.name(status)
    end
    return ffi_string(ring_buffer, length[0])
end

-- The text and the handle of the last ring. A worker uses one ring at a time.
local cached_ring, cached_handle

-- Returns the handle of a ring, or nil and the status.
local function handle_of(ring)
    if ring ~= cached_ring then
        local handle, _, status = handles.new("rn_session_keys", function(handle)
            return library.rn_session_keys_new(ring, #ring, handle)
        end)
        if not handle then
            return nil, status
        end
        cached_ring, cached_handle = ring, handle
    end
    return cached_handle
end

-- Calls a function of the library with a ring's handle. Returns nil on success, or the reason's name.
local function failure(ring, call, ...)
    local handle, status = handle_of(ring)
    status = handle and call(handle, ...) or status
    return status ~= OK and statuses.name(status) or nil
end

-- Returns a new id, or nil and the reason's name if the ring is malformed.
function _M.new_id(ring, now)
    local err = failure(ring, library.rn_session_id_new, now, id_buffer)
    return not err and ffi_string(id_buffer, ID_BYTES) or nil, err
end

-- Checks an id. Returns the age of its session in seconds, or nil and the reason's name.
function _M.check_id(ring, id, now, lifetime)
    local err = failure(ring, library.rn_session_id_check, id, #id, now, lifetime, age)
    return not err and age[0] or nil, err
end

-- Returns the signed form of a path, or nil and the reason's name if the ring is malformed or the path longer than
-- MAX_PATH_BYTES.
function _M.sign_page(ring, path, now)
    local err = failure(ring, library.rn_session_page_sign, now, path, #path, page_buffer, PAGE_BYTES, length)
    return not err and ffi_string(page_buffer, length[0]) or nil, err
end

-- Checks a signed path. Returns the path if it was signed less than `lifetime` seconds ago, or nil and the reason's
-- name.
function _M.check_page(ring, page, now, lifetime)
    local err = failure(ring, library.rn_session_page_check, page, #page, now, lifetime, path_buffer, PATH_BYTES,
        length)
    return not err and ffi_string(path_buffer, length[0]) or nil, err
end

-- Returns the SHA-256 of a secret in hexadecimal. It identifies the secret in stores and counters.
function _M.digest(text)
    library.rn_session_digest(text, #text, digest_buffer)
    return ffi_string(digest_buffer, DIGEST_BYTES)
end

-- Returns whether a redirect to a path stays on the same origin.
function _M.is_local_path(path)
    return library.rn_path_check(path, #path) == OK
end

return _M
