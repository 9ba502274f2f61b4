-- The server's nonces for proofs (RFC 9449 §8, §9). All workers derive them from one secret, which the dictionary of
-- used proofs holds: it survives a reload, and nobody has to store a nonce.

local ffi = require "ffi"
local library = require "route_native.core.ffi"

local OK, NONCE_BYTES, SECRET_BYTES = library.RN_OK, library.RN_NONCE_BYTES, library.RN_NONCE_SECRET_BYTES
local ngx = ngx

-- No id of a proof has this length.
local KEY = "nonce secret"

-- Shared by all requests: it is written and read without a yield in between.
local buffer = ffi.new("uint8_t[?]", math.max(NONCE_BYTES, SECRET_BYTES))

-- The secrets that this worker has read, by the name of their dictionary.
local secrets = {}

local _M = {}

-- Returns the secret in a memory of used proofs, which is made if need be; nil if there is no room for it.
function _M.secret(memory)
    local secret = secrets[memory.name] or memory.dict:get(KEY)
    if not secret and library.rn_nonce_secret_new(buffer) == OK then
        memory.dict:safe_add(KEY, ffi.string(buffer, SECRET_BYTES))
        -- Another worker may have been first.
        secret = memory.dict:get(KEY)
    end
    secrets[memory.name] = secret
    return secret
end

-- Returns the current nonce, whose period has `seconds`, or nil if there is no room for the secret.
function _M.current(memory, seconds)
    local secret = _M.secret(memory)
    if secret and library.rn_nonce_write(secret, #secret, ngx.time(), seconds, buffer) == OK then
        return ffi.string(buffer, NONCE_BYTES)
    end
end

return _M
