-- Bounds what unknown tokens cost: the introspections that a worker has open, and the inactive tokens of an address.
-- Anybody can send random tokens, and each of them is a question to the authorization server.

local rate_limit = require "route_native.core.rate_limit"

local ngx = ngx

-- An introspection whose request ended early never says that it is over. It is, after so many seconds.
local FORGET_SECONDS = 60
-- The window of the limit by address, in seconds.
local WINDOW = 60

local _M = {}

-- The open introspections of this worker: when each began, by a table of its own.
local open, count = {}, 0
local logged_at = 0

-- Forgets the introspections that began long ago.
local function forget()
    local now = ngx.now()
    for ticket, began in pairs(open) do
        if now - began > FORGET_SECONDS then
            open[ticket], count = nil, count - 1
        end
    end
end

-- Logs once a second that the limit is reached.
local function log_full(max)
    if logged_at ~= ngx.time() then
        logged_at = ngx.time()
        ngx.log(ngx.ERR, "route_native: phantom_token: ", max, " introspections of this worker are open, and more are ",
            "refused; the server is slow, or somebody sends random tokens (max_introspections)")
    end
end

-- Begins an introspection. Returns a ticket for finish(), or nil if `max` are open.
function _M.begin(max)
    if count >= max then
        forget()
    end
    if count >= max then
        log_full(max)
        return nil
    end
    local ticket = {}
    open[ticket], count = ngx.now(), count + 1
    return ticket
end

-- Ends an introspection.
function _M.finish(ticket)
    if open[ticket] then
        open[ticket], count = nil, count - 1
    end
end

-- Returns for how many seconds the client's address may have no more tokens checked, or nil. `max` is the number of
-- inactive tokens in a window; 0 is no limit.
function _M.wait_of_address(dict, max)
    if max == 0 then
        return nil
    end
    local key = "address " .. rate_limit.address()
    return (dict:get(key) or 0) >= max and math.max(1, math.ceil(dict:ttl(key) or WINDOW)) or nil
end

-- Counts an inactive token of the client's address.
function _M.count_inactive(dict, max)
    if max == 0 then
        return
    end
    local key = "address " .. rate_limit.address()
    -- A new counter may evict the oldest refusals that the dictionary remembers, and no active token.
    if not dict:incr(key, 1) and not dict:add(key, 1, WINDOW) then
        dict:incr(key, 1)
    end
end

return _M
