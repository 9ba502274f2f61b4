-- Logs the notes of the library about keys: those that it skipped, and why.

local ngx = ngx

local _M = {}

-- The notes that were logged: a JWK Set by URL brings the same ones with each refresh. Only nginx has a log.
local logged = ngx and require("resty.lrucache").new(256)

-- Logs each line of a text as a warning that begins with `prefix`.
function _M.log(prefix, text)
    for note in text:gmatch("[^\n]+") do
        local message = prefix .. note
        if logged and not logged:get(message) then
            logged:set(message, true)
            ngx.log(ngx.WARN, message)
        end
    end
end

return _M
