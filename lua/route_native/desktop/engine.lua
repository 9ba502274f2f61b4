-- Makes the handle of the gateway, and wraps the calls of the library that need no request.

local ffi = require "ffi"
local handles = require "route_native.core.handle"
local library = require "route_native.core.ffi"
local notes = require "route_native.core.notes"
local statuses = require "route_native.core.status"
local worker_thread = require "route_native.desktop.worker_thread"

local ffi_string = ffi.string
local OK = statuses.OK

local _M = {}

-- Returns the handle of a gateway, or nil, an error and the status. It reads the keys in the master process, before
-- nginx drops its privileges.
function _M.new(settings)
    for _, name in ipairs { "signing_key", "payload_key" } do
        if not settings[name] then
            return nil, settings.labels[name] .. " is not set", statuses.KEY_UNREADABLE
        end
    end
    local options = ffi.new("rn_gateway_options", { leeway = settings.leeway, cache_entries = settings.cache_entries })
    handles.set_texts(options, {
        signing_key = settings.signing_key,
        payload_key = settings.payload_key,
        padding = settings.payload_padding or "",
        suffix = settings.target_suffix or "",
    })
    local gateway, text, status = handles.new("rn_gateway", function(...)
        return library.rn_gateway_new(options, ...)
    end)
    if not gateway then
        if status == statuses.SETTING_INVALID then
            -- The error begins with the option's name. Its label is the variable if that has set the option.
            text = text:gsub("^[%w_]+", settings.labels)
        end
        return nil, text, status
    end
    notes.log("route_native: the key file " .. settings.signing_key .. ": ", text)
    return gateway
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

-- Decrypts the text of a `hash` claim in this thread. Returns the target in it, or nil and the status.
function _M.decrypt(gateway, hash)
    local status, target = worker_thread.decrypt(gateway, hash)
    return target, status
end

return _M
