-- Logs the notes of the library about keys: those that it skipped, and why.

local ffi = require "ffi"
local lrucache = require "resty.lrucache"

local ngx = ngx

local _M = {}

-- The notes that were logged: a JWK Set by URL brings the same ones with each refresh.
local logged = lrucache.new(256)

-- Logs each line of a buffer as a warning that begins with `prefix`. Logs nothing for an empty buffer.
function _M.log(prefix, buffer, length)
    for note in ffi.string(buffer, length):gmatch("[^\n]+") do
        local message = prefix .. note
        if ngx and not logged:get(message) then
            logged:set(message, true)
            ngx.log(ngx.WARN, message)
        end
    end
end

return _M
