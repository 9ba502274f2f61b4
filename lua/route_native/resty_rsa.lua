--- Offers the documented API of lua-resty-rsa, so that a program changes one `require`.
--
--     local rsa = require "route_native.resty_rsa"
--     local key, err = rsa:new { private_key = pem }
--     local text, err = key:decrypt(ciphertext)
--
-- The differences and their reasons:
--
-- - `decrypt()`, `sign()` and `generate_rsa_keys()` take a millisecond or more. They run in nginx's thread pool where
--   the phase may yield: rewrite, access, content and timers. Elsewhere, and without the pool `route_native`, they run
--   at once.
-- - Every failure of `decrypt()` is the same error. A program that shows others whether their ciphertexts decrypt is a
--   decryption oracle all the same, with PKCS#1 v1.5: verify a signature first, as the desktop gateway does, or use
--   OAEP.
-- - Keys have 2048 to 8192 bits. Public keys may be certificates and private keys PKCS#8, whatever `key_type` says. A
--   key with a passphrase is refused.
-- - Paddings are PKCS#1 v1.5 and OAEP with SHA-1. `RSA_NO_PADDING` and `RSA_SSLV23_PADDING` are refused.
-- - Algorithms are SHA-256, SHA-384 and SHA-512. MD4, MD5, RIPEMD-160, SHA-0, SHA-1 and SHA-224 are refused: signatures
--   with most of them can be forged.
--
-- @module route_native.resty_rsa

local ffi = require "ffi"
local library = require "route_native.core.ffi"
local singleflight = require "route_native.core.singleflight.worker"
local statuses = require "route_native.core.status"
local thread_pool = require "route_native.core.thread_pool"
local work = require "route_native.resty_rsa.worker_thread"

local ffi_string = ffi.string
local ngx = ngx
local getinfo, pcall, xpcall = debug.getinfo, pcall, xpcall
local OK = statuses.OK

local BYTES = library.RN_RSA_BYTES
local buffer, length = ffi.new("uint8_t[?]", BYTES), ffi.new("size_t[1]")

local MODULE = "route_native.resty_rsa.worker_thread"
-- The longest wait for the thread pool, in seconds. The largest key takes seconds to generate.
local WAIT_SECONDS = 60
-- The phases that may wait for the thread pool.
local YIELDS = { rewrite = true, access = true, content = true, timer = true }
-- The names that OpenSSL has for each hash.
local HASHES = {}
for _, bits in ipairs { 256, 384, 512 } do
    for _, name in ipairs { "sha%d", "SHA%d", "RSA-SHA%d", "sha%dWithRSAEncryption" } do
        HASHES[name:format(bits)] = bits
    end
end

local _M = {
    --- Names the release.
    -- @tfield string _VERSION
    _VERSION = require("route_native")._VERSION,

    -- OpenSSL's numbers.
    PADDING = {
        RSA_PKCS1_PADDING = library.RN_RSA_PKCS1,
        RSA_SSLV23_PADDING = 2,
        RSA_NO_PADDING = 3,
        RSA_PKCS1_OAEP_PADDING = library.RN_RSA_OAEP,
    },

    -- Both are read, whatever an option says.
    KEY_TYPE = { PKCS1 = "PKCS#1", PKCS8 = "PKCS#8" },
}
local mt = { __index = _M }

-- The contents of each key object. A key object itself may be logged.
local contents = setmetatable({}, { __mode = "k" })

-- Returns whether the caller may yield: not from a function that string.gsub(), table.sort() or require() calls,
-- whatever the phase. (nginx leaves isyieldable() out of its `coroutine`.)
local function may_yield()
    if not YIELDS[ngx.get_phase()] then
        return false
    end
    local level = 3
    local info = getinfo(level, "Sf")
    while info do
        if info.what == "C" and info.func ~= pcall and info.func ~= xpcall then
            return false
        end
        level = level + 1
        info = getinfo(level, "Sf")
    end
    return true
end

-- Calls a function of worker_thread.lua in the thread pool, or here. Returns its results, or nil and an error.
local function off_the_event_loop(name, ...)
    if not (thread_pool.is_available() and may_yield()) then
        return work[name](...)
    elseif thread_pool.is_full() then
        return nil, "too many operations wait for the thread pool"
    end
    local arguments, count = { ... }, select("#", ...)
    return singleflight.run(arguments, WAIT_SECONDS, function()
        return thread_pool.call(MODULE, name, unpack(arguments, 1, count))
    end, thread_pool.schedule)
end

-- Returns the contents of a key object that has been made for an operation, or nil.
local function made_for(key, is_private)
    local content = contents[key]
    return content and content.is_private == is_private and content or nil
end

local function check_text(name, value)
    if type(value) ~= "string" then
        error("route_native.resty_rsa: " .. name .. " takes a string", 3)
    end
end

--- Configures a key.
-- @table RsaOptions
-- @tfield[opt] string public_key public key or certificate in PEM; it encrypts and verifies
-- @tfield[opt] string private_key private key in PEM; it decrypts and signs. One of the two is needed
-- @tfield[opt] string key_type ignored: the PEM says what it is
-- @tfield[opt] string password ignored: a key with a passphrase is refused
-- @tfield[opt=1] integer padding `PADDING.RSA_PKCS1_PADDING`, or `PADDING.RSA_PKCS1_OAEP_PADDING`
-- @tfield[opt] string algorithm the hash of signatures, by a name of OpenSSL's, such as `SHA256`

--- Parses a key.
-- @tparam RsaOptions opts what to parse, and for what
-- @treturn[1] table the key, with the methods below
-- @treturn[2] nil
-- @treturn[2] string an error
-- @usage local key, err = rsa:new { public_key = pem, algorithm = "SHA256" }
function _M:new(opts) -- luacheck: no unused args
    local text, is_private = opts.public_key, false
    if not text then
        text, is_private = opts.private_key, true
    end
    if type(text) ~= "string" then
        return nil, "not found public_key or private_key"
    end
    local hash = HASHES[opts.algorithm]
    if opts.algorithm ~= nil and not hash then
        return nil, "Unknown message digest"
    end
    local padding = opts.padding or library.RN_RSA_PKCS1
    if padding ~= library.RN_RSA_PKCS1 and padding ~= library.RN_RSA_OAEP then
        return nil, "the padding must be RSA_PKCS1_PADDING or RSA_PKCS1_OAEP_PADDING"
    end
    local handle, err = work.parse(is_private, padding, text)
    if not handle then
        return nil, err
    end
    local key = setmetatable({}, mt)
    contents[key] = { is_private = is_private, handle = handle, text = text, padding = padding, hash = hash }
    return key
end

--- Encrypts a text with a public key.
-- @tparam string str the text
-- @treturn[1] string the ciphertext
-- @treturn[2] nil
-- @treturn[2] string an error
function _M:encrypt(str)
    check_text("encrypt()", str)
    local content = made_for(self, false)
    if not content then
        return nil, "not inited for encrypt"
    end
    local status = library.rn_rsa_encrypt(content.handle, str, #str, buffer, BYTES, length)
    if status ~= OK then
        local is_too_long = status == library.RN_REASON_INVALID_ARGUMENT
        return nil, is_too_long and "data too large for key size" or statuses.name(status)
    end
    return ffi_string(buffer, length[0])
end

--- Decrypts a ciphertext with a private key.
-- @tparam string str the ciphertext
-- @treturn[1] string the text
-- @treturn[2] nil
-- @treturn[2] string an error, the same for every ciphertext
function _M:decrypt(str)
    check_text("decrypt()", str)
    local content = made_for(self, true)
    if not content then
        return nil, "not inited for decrypt"
    end
    local status, text = off_the_event_loop("decrypt", content.text, content.padding, str)
    if not status then
        return nil, text
    elseif status ~= OK then
        return nil, "the decryption failed"
    end
    return text
end

--- Signs a text with a private key and the `algorithm` of `new()`.
-- @tparam string str the text
-- @treturn[1] string the signature
-- @treturn[2] nil
-- @treturn[2] string an error
function _M:sign(str)
    check_text("sign()", str)
    local content = made_for(self, true)
    if not (content and content.hash) then
        return nil, "not inited for sign"
    end
    local status, signature = off_the_event_loop("sign", content.text, content.padding, content.hash, str)
    if not status then
        return nil, signature
    elseif status ~= OK then
        return nil, statuses.name(status)
    end
    return signature
end

--- Checks a signature with a public key and the `algorithm` of `new()`.
-- @tparam string str the text
-- @tparam string sig the signature
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string an error
function _M:verify(str, sig)
    check_text("verify()", str)
    check_text("verify()", sig)
    local content = made_for(self, false)
    if not (content and content.hash) then
        return nil, "not inited for verify"
    end
    local status = library.rn_rsa_verify(content.handle, content.hash, str, #str, sig, #sig)
    if status ~= OK then
        return nil, status == library.RN_REASON_SIGNATURE_INVALID and "bad signature" or statuses.name(status)
    end
    return true
end

--- Generates a key.
-- @tparam integer bits its size: 2048, 3072 or 4096
-- @tparam[opt=false] boolean pkcs8 whether the keys are SPKI and PKCS#8, and not PKCS#1
-- @treturn[1] string the public key in PEM
-- @treturn[1] string the private key in PEM
-- @treturn[2] nil
-- @treturn[2] nil
-- @treturn[2] string an error
function _M:generate_rsa_keys(bits, pkcs8) -- luacheck: no unused args
    if bits ~= 2048 and bits ~= 3072 and bits ~= 4096 then
        return nil, nil, "the size of the key must be 2048, 3072 or 4096 bits"
    end
    local status, pair = off_the_event_loop("generate", bits, pkcs8 == true)
    if status ~= OK then
        return nil, nil, status and statuses.name(status) or pair
    end
    return pair:match("^(.-PUBLIC KEY%-%-%-%-%-\n.-PUBLIC KEY%-%-%-%-%-\n)(.*)$")
end

return _M
