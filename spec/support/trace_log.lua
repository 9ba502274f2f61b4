-- Records the JIT compiler's events in a worker: the lines of each trace, and the places of aborts. It reads the same
-- events as LuaJIT's own jit.v.

local cjson = require "cjson"
local funcinfo = require("jit.util").funcinfo
local traceinfo = require("jit.util").traceinfo
local messages = require("jit.vmdef").traceerr

local _M = {}

local places, finished = {}, { traces = {}, aborts = {} }

local function place(func, pc)
    local info = funcinfo(func, pc)
    return info.loc and info.source:sub(2) .. ":" .. info.currentline or "builtin"
end

local function on_record(_, func, pc)
    places[#places + 1] = place(func, pc)
end

local function on_trace(what, number, func, pc, code)
    if what == "start" then
        places = {}
    elseif what == "stop" then
        finished.traces[#finished.traces + 1] = { link = traceinfo(number).linktype, places = places }
    elseif what == "abort" then
        local text = messages[number] or tostring(number)
        finished.aborts[#finished.aborts + 1] = { at = place(func, pc), why = text, detail = tostring(code) }
    end
end

function _M.start()
    jit.attach(on_record, "record")
    jit.attach(on_trace, "trace")
end

-- Returns the events since the last call, as JSON.
function _M.take()
    jit.attach(on_record)
    jit.attach(on_trace)
    local text = cjson.encode(finished)
    finished = { traces = {}, aborts = {} }
    _M.start()
    return text
end

return _M
