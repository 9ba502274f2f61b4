-- Makes the handle of the gateway, and wraps the calls of the library that need no request.

local ffi = require "ffi"
local library = require "route_native.core.ffi"
local notes = require "route_native.core.notes"
local statuses = require "route_native.core.status"

local ffi_string = ffi.string
local OK = statuses.OK

local ERROR_BYTES, TARGET_BYTES = library.RN_ERROR_BYTES, library.RN_TARGET_BYTES

local _M = {}

-- Sets a text of the options and its length.
local function fill(options, name, value)
    options[name] = value
    options[name .. "_length"] = #value
end

-- Returns the handle of a gateway, or nil, an error and the status. It reads the keys in the master process, before
-- nginx drops its privileges.
function _M.new(settings)
    for _, name in ipairs { "signing_key", "payload_key" } do
        if not settings[name] then
            return nil, settings.labels[name] .. " is not set", statuses.KEY_UNREADABLE
        end
    end
    local options = ffi.new("rn_gateway_options", { leeway = settings.leeway, cache_entries = settings.cache_entries })
    fill(options, "signing_key", settings.signing_key)
    fill(options, "payload_key", settings.payload_key)
    fill(options, "padding", settings.payload_padding or "")
    fill(options, "suffix", settings.target_suffix or "")

    local handle, length = ffi.new("rn_gateway *[1]"), ffi.new("size_t[1]")
    local message = ffi.new("uint8_t[?]", ERROR_BYTES)
    local status = library.rn_gateway_new(options, handle, message, ERROR_BYTES, length)
    if status ~= OK then
        local err = ffi_string(message, length[0])
        if status == statuses.SETTING_INVALID then
            -- The error begins with the option's name. Its label is the variable if that has set the option.
            err = err:gsub("^[%w_]+", settings.labels)
        end
        return nil, err, status
    end
    notes.log("route_native: the key file " .. settings.signing_key .. ": ", message, length[0])
    -- The function keeps the library loaded as long as the handle lives: a finalizer must not outlive its code.
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
