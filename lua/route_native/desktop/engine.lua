-- The gateway's engine behind its handle: making it, and the calls that need no request.

local ffi = require "ffi"
local library = require "route_native.core.ffi"
local reason = require "route_native.core.status"

local ffi_string = ffi.string
local OK = reason.OK

local SENTENCE_BYTES, TARGET_BYTES = library.RN_ERROR_BYTES, library.RN_TARGET_BYTES

local _M = {}

local function fill(options, name, value)
    options[name] = value
    options[name .. "_length"] = #value
end

-- Makes a gateway from settings. Returns the handle, or nil, a sentence and the status.
-- The keys are read here, in the master process, before nginx drops its privileges.
function _M.new(chosen)
    for _, name in ipairs { "signing_key", "payload_key" } do
        if not chosen[name] then
            return nil, chosen.labels[name] .. " is not set", reason.KEY_UNREADABLE
        end
    end
    local options = ffi.new("rn_gateway_options", { leeway = chosen.leeway, cache_entries = chosen.cache_entries })
    fill(options, "signing_key", chosen.signing_key)
    fill(options, "payload_key", chosen.payload_key)
    fill(options, "padding", chosen.payload_padding or "")
    fill(options, "suffix", chosen.target_suffix or "")

    local handle, length = ffi.new("rn_gateway *[1]"), ffi.new("size_t[1]")
    local sentence = ffi.new("uint8_t[?]", SENTENCE_BYTES)
    local status = library.rn_gateway_new(options, handle, sentence, SENTENCE_BYTES, length)
    if status ~= OK then
        local mistake = ffi_string(sentence, length[0])
        if status == reason.SETTING_INVALID then
            -- It begins with the option's name, which is not the one to look for when a variable has set it.
            mistake = mistake:gsub("^[%w_]+", chosen.labels)
        end
        return nil, mistake, status
    end
    -- The wrapper keeps the library alive as long as the handle: a finalizer must not outlive its code.
    return ffi.gc(handle[0], function(gateway) library.rn_gateway_free(gateway) end)
end

-- Verifies a token. Returns its claims as JSON text, or nil and the status.
function _M.verify(gateway, token, now)
    local length = ffi.new("size_t[1]")
    local claims = ffi.new("uint8_t[?]", #token + 1)
    local status = library.rn_gateway_verify(gateway, token, #token, now, claims, #token + 1, length)
    if status ~= OK then
        return nil, status
    end
    return ffi_string(claims, length[0])
end

-- Decrypts the text of a `hash` claim. Returns the target in it, or nil and the status.
function _M.decrypt(gateway, hash)
    local length = ffi.new("size_t[1]")
    local target = ffi.new("uint8_t[?]", TARGET_BYTES)
    local status = library.rn_gateway_decrypt(gateway, hash, #hash, target, TARGET_BYTES, length)
    if status ~= OK then
        return nil, status
    end
    return ffi_string(target, length[0])
end

return _M
