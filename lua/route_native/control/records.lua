-- Keeps revocations in a dictionary that all workers share, and brings them to the library of each worker.
--
--     revoke() ─► library (checks it) ─► dict "entry N" ─► every worker, each 200 ms ─► library (this process)
--
-- The dictionary is a log. "last" is the number of its newest entry and "first" that of its oldest. An entry is the
-- JSON of a revocation, or "-N", which withdraws entry N. An entry ends when its revocation does. Each worker reads the
-- numbers that it has not read.

local ffi = require "ffi"
local library = require "route_native.core.ffi"

local ffi_string = ffi.string
local byte, match = string.byte, string.match
local ngx = ngx

local OK = library.RN_OK
local ERROR_BYTES, RECORD_BYTES = library.RN_ERROR_BYTES, library.RN_TOKEN_BYTES
-- How long a withdrawal stays: every worker has read it long before.
local WITHDRAWAL_SECONDS = 60
-- A writer takes a number first and stores its entry after that. A reader that sees no entry looks again for so many
-- seconds. When it starts, it does so only for the last so many numbers: the entries before them have ended.
local LATE_SECONDS, LATE_ENTRIES = 2, 64
local MINUS = byte "-"
-- The logouts that get an entry in a window of so many seconds. Two windows of them take a third of 16m.
local MAX_LOGOUTS, LOGOUT_WINDOW = 10000, 60

local length, ends = ffi.new("size_t[1]"), ffi.new("int64_t[1]")
local message, record = ffi.new("uint8_t[?]", ERROR_BYTES), nil

local _M = {}
local records = {}
records.__index = records

-- Returns the records in a dictionary. `seconds` is the life of a revocation that names no end.
function _M.new(dict, seconds)
    return setmetatable({ dict = dict, seconds = seconds, known = 0, late = {}, has_news = false }, records)
end

-- Checks the JSON of a revocation. Returns the JSON to store and when it ends, or nil and a sentence.
function records:parse(json)
    record = record or ffi.new("uint8_t[?]", RECORD_BYTES)
    local status = library.rn_revocation_parse(json, #json, ngx.time(), self.seconds,
        record, RECORD_BYTES, length, ends, message, ERROR_BYTES, length)
    if status ~= OK then
        return nil, ffi_string(message, length[0])
    end
    return ffi_string(record, length[0]), tonumber(ends[0])
end

-- Appends an entry. Returns its number, or nil if the dictionary is full.
local function append(self, entry, seconds)
    local number = self.dict:incr("last", 1, 0)
    -- safe_set() never evicts: an attacker's target must not push out what was revoked before.
    local key = "entry " .. (number or "")
    local done = number and self.dict:safe_set(key, entry, seconds)
    -- The dictionary frees ended entries only up to the first that lasts. A full one is rare: look at all of it.
    if number and not done and self.dict:flush_expired() > 0 then
        done = self.dict:safe_set(key, entry, seconds)
    end
    return done and number or nil
end

-- Stores a checked revocation until it ends. Returns its number, or nil if the dictionary is full.
function records:add(json, ends_at)
    local number = append(self, json, math.max(ends_at - ngx.time(), 1))
    self:follow()
    return number
end

-- Counts a logout. Returns whether its session may have an entry: users log in and out as they like, and must leave
-- room for revocations. incr() could evict an entry to store the counter, and safe_add() does not.
function records:count_logout()
    self.dict:safe_add("logouts", 0, LOGOUT_WINDOW)
    return (self.dict:incr("logouts", 1) or math.huge) <= MAX_LOGOUTS
end

-- Returns the JSON of an entry that has not ended, or nil.
function records:get(number)
    local entry = self.dict:get("entry " .. number)
    return entry and byte(entry) ~= MINUS and entry or nil
end

-- Withdraws a revocation. Returns whether there was one, or nil if the dictionary is full.
function records:withdraw(number)
    if not self:get(number) then
        return false
    elseif not append(self, "-" .. number, WITHDRAWAL_SECONDS) then
        return nil
    end
    self.dict:delete("entry " .. number)
    self:follow()
    return true
end

-- Returns the numbers of the oldest and the newest entry.
function records:bounds()
    return self.dict:get("first") or 1, self.dict:get("last") or 0
end

-- Brings one entry to the library. Returns whether it was there.
local function read(self, number)
    local entry = self.dict:get("entry " .. number)
    if not entry then
        return false
    end
    local withdrawn = byte(entry) == MINUS and match(entry, "^%-(%d+)$")
    if withdrawn then
        library.rn_revocations_remove(tonumber(withdrawn))
    elseif library.rn_revocations_add(number, entry, #entry, ngx.time()) ~= OK then
        ngx.log(ngx.ERR, "route_native.revocation: entry ", number, " of the dictionary is no revocation")
    end
    return true
end

-- Brings the entries that this worker has not read to the library.
function records:follow()
    local first, last = self:bounds()
    local now, has_news = ngx.now(), self.has_news
    for number, deadline in pairs(self.late) do
        local is_read = read(self, number)
        if is_read or deadline < now then
            self.late[number], has_news = nil, has_news or is_read
        end
    end
    local looks_again_from = self.known > 0 and 0 or last - LATE_ENTRIES
    for number = math.max(self.known + 1, first), last do
        if read(self, number) then
            has_news = true
        elseif number > looks_again_from then
            self.late[number] = now + LATE_SECONDS
        end
    end
    self.known, self.has_news = math.max(self.known, last), has_news
end

-- Returns whether follow() has brought anything since the last call. A request that revokes follows at once, and the
-- timer learns of it here.
function records:take_news()
    local has_news = self.has_news
    self.has_news = false
    return has_news
end

-- Moves "first" behind the entries that have ended, at most a thousand at once. One worker calls it.
function records:forget_ended()
    local first, last = self:bounds()
    local stop = math.min(first + 1000, last - LATE_ENTRIES)
    local number = first
    while number < stop and not self.dict:get("entry " .. number) do
        number = number + 1
    end
    if number > first then
        self.dict:safe_set("first", number)
    end
end

return _M
