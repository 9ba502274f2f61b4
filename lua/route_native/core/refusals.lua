-- Keeps the newest refusals of all workers for the status page, in a ring of the dictionary `refusals`. An entry has
-- the token's fingerprint and the trace, by which the access log tells more. A client writes nothing in it but the
-- digits of a trace.

local cjson = require "cjson.safe"

local ngx = ngx
local time = ngx.time

-- The entries of the ring.
local SIZE = 100
-- A worker keeps at most so many in a second: a flood of bad tokens must not cost more than it does without the page.
local MAX_IN_SECOND = 20

local second, in_second = 0, 0

local _M = {}

-- Returns whether this worker may keep another one now.
local function has_room(now)
    if now ~= second then
        second, in_second = now, 0
    end
    in_second = in_second + 1
    return in_second <= MAX_IN_SECOND
end

-- Keeps a refusal of the current request.
function _M.add(capability, endpoint, status, reason)
    local dict, now = ngx.shared.refusals, time()
    if not dict or not has_room(now) then
        return
    end
    local var = ngx.var
    local number = dict:incr("number", 1, 0)
    if not number then
        return
    end
    dict:set("entry " .. number % SIZE, cjson.encode {
        number = number, time = now, capability = capability, endpoint = endpoint, status = status, reason = reason,
        token = var.route_token or "", trace = var.trace_id or "",
    })
end

-- Returns the JSON texts of the kept refusals, the newest first.
function _M.newest()
    local dict, texts = ngx.shared.refusals, {}
    local number = dict and dict:get("number") or 0
    for i = number, math.max(number - SIZE + 1, 1), -1 do
        -- Another worker may have taken the number and not stored the entry yet.
        texts[#texts + 1] = dict:get("entry " .. i % SIZE)
    end
    return texts
end

return _M
