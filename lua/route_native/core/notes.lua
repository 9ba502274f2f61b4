-- Logs the notes of the library about keys: those that it skipped, and why.

local ffi = require "ffi"

local ngx = ngx

local _M = {}

-- The notes that were logged: a JWK Set by URL brings the same ones with each refresh. Only nginx has a log.
local logged = ngx and require("resty.lrucache").new(256)

-- Logs each line of a buffer as a warning that begins with `prefix`. Logs nothing for an empty buffer.
function _M.log(prefix, buffer, length)
    for note in ffi.string(buffer, length):gmatch("[^\n]+") do
        local message = prefix .. note
        if logged and not logged:get(message) then
            logged:set(message, true)
            ngx.log(ngx.WARN, message)
        end
    end
end

return _M
