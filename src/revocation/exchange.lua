-- The script that Redis runs for a node: it takes what the node has revoked, and returns what others have. Redis runs a
-- script atomically. All keys have one hash tag, so that a cluster keeps them on one server.
--
--     {route_native:revocations}:log      sorted set: event → its number. An event is "id:digest"; the digest is that of
--                                         the event before and of the value, so that it stands for all events up to it
--     {route_native:revocations}:entries  hash: id → value, the JSON of a revocation or "-END" of a withdrawn one
--     {route_native:revocations}:ends     sorted set: event → the end of the revocation, in seconds since the epoch
--
-- KEYS: log, entries, ends
-- ARGV: "rw", or "ro" for a node that only reads
--       the number and the event of the newest one that the node knows; "" and "" if it knows none
--       the number behind which it reads, and how many events at most
--       the id, the end and the value of each revocation that it brings
--
-- Returns "lost\n" if Redis has lost events that the node knows: it then brings all that it has, and reads from the
-- beginning. Returns "ok AFTER NUMBER EVENT MORE\n" otherwise: behind which number to read on, the newest event, and 1
-- if there are more; and a line "ID VALUE" for each event. The value is "?" if it cannot be a revocation.

local log, entries, ends = KEYS[1], KEYS[2], KEYS[3]
local may_write, number, event, after, limit = ARGV[1] == "rw", ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local call, find, match = redis.call, string.find, string.match

-- Somebody may have deleted one of the keys, or maxmemory-policy may have. The nodes bring everything again.
if may_write and call("exists", log, entries, ends) % 3 ~= 0 then
    call("del", log, entries, ends)
end
if event ~= "" and call("zscore", log, event) ~= number then
    return "lost\n"
end

-- Returns whether this script has written an event. Removes one that it has not.
local function is_event(member, score)
    if #member <= 39 and find(member, "^%d+:%x+$") and #score <= 15 and find(score, "^%d+$") then
        return true
    elseif may_write then
        call("zrem", log, member)
    end
    return false
end

local newest, newest_number = "", 0
local top = call("zrevrange", log, 0, 15, "withscores")
for i = 1, #top, 2 do
    if is_event(top[i], top[i + 1]) then
        newest, newest_number = top[i], tonumber(top[i + 1])
        break
    end
end

-- What was withdrawn stays withdrawn. An ended revocation is no news.
local now = tonumber(call("time")[1])
for i = 6, #ARGV, 3 do
    local id, ending, value = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    local old = call("hget", entries, id)
    if tonumber(ending) > now and (not old or find(value, "^%-") and not find(old, "^%-")) then
        newest = id .. ":" .. string.sub(redis.sha1hex(newest .. "\n" .. id .. "\n" .. value), 1, 24)
        newest_number = newest_number + 1
        call("zadd", log, string.format("%.0f", newest_number), newest)
        call("zadd", ends, ending, newest)
        call("hset", entries, id, value)
    end
end

-- Clocks differ, so an entry stays a minute longer. The newest event stays: nodes know by it that nothing is lost.
if may_write then
    for _, member in ipairs(call("zrangebyscore", ends, "-inf", now - 60, "limit", 0, 100)) do
        if member ~= newest then
            call("zrem", log, member)
            call("zrem", ends, member)
            call("hdel", entries, match(member, "^%d+") or member)
        end
    end
end

local lines, bytes, more = {}, 0, 0
local found = limit > 0 and call("zrangebyscore", log, "(" .. after, "+inf", "withscores", "limit", 0, limit) or {}
for i = 1, #found, 2 do
    if is_event(found[i], found[i + 1]) then
        local id = match(found[i], "^%d+")
        local size = call("hstrlen", entries, id)
        bytes = bytes + size
        if bytes > 262144 and #lines > 0 then
            more = 1
            break
        end
        local value = size > 0 and size <= 16384 and call("hget", entries, id) or "?"
        if size > 0 then
            lines[#lines + 1] = id .. " " .. (find(value, "%c") and "?" or value)
        end
        after = found[i + 1]
    end
end
if limit > 0 and #found == 2 * limit then
    more = 1
end
return string.format("ok %s %.0f %s %d\n", after, newest_number, newest == "" and "-" or newest, more)
    .. table.concat(lines, "\n")
