-- Keeps revocations in a dictionary that all workers share, and brings them to the library of each worker.
--
--     revoke() ─► library (checks it) ─► dict "entry N" ─► every worker, each 200 ms ─► library (this process)
--     nodes.lua ─────────────────────────────┘
--
-- The dictionary is a log. "last" is the number of its newest entry and "first" that of its oldest. Each worker reads
-- the numbers that it has not read. An entry ends when its revocation does. It is one of
--
--     +ID JSON    a revocation of this node       =ID JSON    one of another node
--     -ID END     a withdrawal of this node       ~ID END     one of another node
--
-- "id ID" is the number of a revocation's entry. "gone ID" says that it was withdrawn: whatever order a worker reads
-- in, and whoever brings it again, it is withdrawn until it would have ended. The keys of numbers exist from the start,
-- because a full dictionary takes no new key.

local ffi = require "ffi"
local library = require "route_native.core.ffi"

local ffi_string = ffi.string
local find, match, sub = string.find, string.match, string.sub
local max, min = math.max, math.min
local ngx = ngx

local OK = library.RN_OK
local ERROR_BYTES, RECORD_BYTES = library.RN_ERROR_BYTES, library.RN_TOKEN_BYTES
-- A writer takes a number first and stores its entry after that. A reader that sees no entry looks again for so many
-- seconds. When it starts, it does so only for the last so many numbers: the entries before them have ended.
local LATE_SECONDS, LATE_ENTRIES = 2, 64
-- The entries that are read without a pause, and the pause: nginx without OpenResty's patches warns of one of 0
-- seconds.
local BATCH, PAUSE_SECONDS = 500, 0.001
-- The logouts that get an entry in a window of so many seconds. Two windows of them take a third of 24m.
local MAX_LOGOUTS, LOGOUT_WINDOW = 10000, 60
-- From so many numbers on, entries that last move to the end of the log. Before them are only a quarter as many.
local SPARSE_NUMBERS = 100000
-- The longest life of a revocation: ten years. src/revocation/record.rs has the rule.
local MAX_SECONDS = 10 * 366 * 86400
-- How often a full dictionary is searched for ended entries, in seconds.
local FLUSH_PERIOD = 1
-- Who logs users out. Entries of other nodes' logouts count too.
local LOGOUT = "logout"

local length, ends, new_id = ffi.new("size_t[1]"), ffi.new("int64_t[1]"), ffi.new("uint64_t[1]")
local message, record = ffi.new("uint8_t[?]", ERROR_BYTES), nil

local _M = { LOGOUT = LOGOUT }
local records = {}
records.__index = records

-- Returns the records in a dictionary. `seconds` is the life of a revocation that names no end.
function _M.new(dict, seconds)
    for _, name in ipairs { "last", "flushed" } do
        dict:safe_add(name, 0)
    end
    dict:safe_add("first", 1)
    local self = setmetatable({ dict = dict, seconds = seconds, generation = 0 }, records)
    self:start()
    return self
end

-- Has follow() read all entries. A worker begins with it: its process may be older than many entries.
function records:start()
    self.read = self:cursor(0)
end

-- Returns a reader for walk() that begins behind the number `known`. Numbers far behind the newest one are not late.
function records:cursor(known)
    return { known = known, late = {}, looks_again_from = max(known, self.dict:get("last") - LATE_ENTRIES) }
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

-- Stores a value. Returns true, or nil and "exists" or "no memory". safe_set() and safe_add() never evict: the target
-- of an attacker must not push out what was revoked before.
local function store(self, method, key, value, ends_at)
    local dict, seconds = self.dict, max(ends_at - ngx.time(), 1)
    local done, err = dict[method](dict, key, value, seconds)
    if done or err == "exists" then
        return done or nil, err
    end
    -- The dictionary frees ended entries only up to the first that lasts. A full one is rare: look at all of it.
    if dict:get("flushed") + FLUSH_PERIOD <= ngx.now() then
        dict:set("flushed", ngx.now())
        dict:flush_expired()
        done, err = dict[method](dict, key, value, seconds)
    end
    return done or nil, err
end

-- Appends an entry. Returns its number, or nil if the dictionary is full.
local function append(self, entry, ends_at)
    local number = self.dict:incr("last", 1)
    return store(self, "safe_set", "entry " .. number, entry, ends_at) and number or nil
end

-- Stores a revocation under an id. Returns true, or nil and "exists" or "no memory". A worker that dies in the middle
-- leaves an entry that counts, and that may come again.
local function add(self, kind, id, json, ends_at)
    local key = "id " .. id
    if self.dict:get(key) or self.dict:get("gone " .. id) then
        return nil, "exists"
    end
    local number = append(self, kind .. id .. " " .. json, ends_at)
    if not number then
        return nil, "no memory"
    end
    local done, err = store(self, "safe_add", key, number, ends_at)
    if not done then
        self.dict:delete("entry " .. number)
    end
    return done, err
end

-- Stores a checked revocation until it ends. Returns its id, or nil if the dictionary is full.
function records:add(json, ends_at)
    local id, done, err
    repeat
        if library.rn_revocation_id(new_id) ~= OK then
            return nil
        end
        id = tonumber(new_id[0])
        done, err = add(self, "+", id, json, ends_at)
    until err ~= "exists"
    self:follow()
    return done and id or nil
end

-- Counts a logout. Returns whether its session may have an entry: users log in and out as they like, and must leave
-- room for revocations. incr() could evict an entry to store the counter, and safe_add() does not.
function records:count_logout()
    self.dict:safe_add("logouts", 0, LOGOUT_WINDOW)
    return (self.dict:incr("logouts", 1) or math.huge) <= MAX_LOGOUTS
end

-- Returns the JSON of a revocation that is neither ended nor withdrawn, or nil.
function records:get(id)
    local number = not self.dict:get("gone " .. id) and self.dict:get("id " .. id)
    local entry = number and self.dict:get("entry " .. number)
    return entry and match(entry, "^[+=]%d+ (.*)$") or nil
end

-- Returns the id and the JSON of the revocation that an entry stores now, or nil.
function records:get_entry(number)
    local id, json = match(self.dict:get("entry " .. number) or "", "^[+=](%d+) (.*)$")
    if id and not self.dict:get("gone " .. id) and self.dict:get("id " .. id) == number then
        return tonumber(id), json
    end
    return nil
end

-- Withdraws a revocation that is stored, or may come later. Returns whether it was not withdrawn yet, or nil if the
-- dictionary is full.
local function withdraw(self, kind, id, ends_at)
    local done, err = store(self, "safe_add", "gone " .. id, true, ends_at)
    if not done then
        return err == "exists" and false or nil
    elseif not append(self, kind .. id .. " " .. ends_at, ends_at) then
        self.dict:delete("gone " .. id)
        return nil
    end
    local number = self.dict:get("id " .. id)
    if number then
        self.dict:delete("entry " .. number)
        self.dict:delete("id " .. id)
    end
    self:follow()
    return true
end

-- Withdraws a revocation. Returns whether there was one, or nil if the dictionary is full; and its end.
function records:withdraw(id)
    local json = self:get(id)
    if not json then
        return false
    end
    local ends_at = tonumber(match(json, '"ends":(%d+)'))
    return withdraw(self, "-", id, ends_at), ends_at
end

-- Stores what another node has revoked or withdrawn: an id, and JSON or "-END". Both are foreign bytes. Returns "new",
-- "known", which includes what has ended, "full", or "bad" for what is no revocation.
function records:take(id, value)
    local ends_at = tonumber(match(value, "^%-(%d+)$") or match(value, '"ends":(%d+)'))
    if #id > 14 or not find(id, "^[1-9]%d*$") or not ends_at or ends_at > ngx.time() + MAX_SECONDS then
        return "bad"
    elseif ends_at <= ngx.time() or self.dict:get("gone " .. id) then
        return "known"
    elseif sub(value, 1, 1) == "-" then
        local done = withdraw(self, "~", id, ends_at)
        return done and "new" or done == nil and "full" or "known"
    elseif self.dict:get("id " .. id) then
        return "known"
    end
    local json
    json, ends_at = self:parse(value)
    if not json then
        return "bad"
    elseif find(json, '"by":"' .. LOGOUT .. '"', 1, true) and not self:count_logout() then
        return "known"
    end
    local done, err = add(self, "=", id, json, ends_at)
    return done and "new" or err == "exists" and "known" or "full"
end

-- Returns the numbers of the oldest and the newest entry.
function records:bounds()
    return self.dict:get("first"), self.dict:get("last")
end

-- Calls visit() with an entry and its number. Returns whether the entry is there, and the result.
local function visit_one(self, number, visit)
    local entry = self.dict:get("entry " .. number)
    if not entry then
        return false
    end
    return true, visit(entry, number)
end

-- Calls visit() with each entry that the cursor has not read, and with its number, until visit() returns true or `most`
-- numbers are read. Returns whether all are.
function records:walk(cursor, visit, most)
    local first, last = self:bounds()
    local now = ngx.now()
    for number, deadline in pairs(cursor.late) do
        if visit_one(self, number, visit) or deadline < now then
            cursor.late[number] = nil
        end
    end
    cursor.known = max(cursor.known, first - 1)
    local stop = min(last, cursor.known + most)
    while cursor.known < stop do
        local number = cursor.known + 1
        cursor.known = number
        local is_there, is_enough = visit_one(self, number, visit)
        if is_enough then
            break
        elseif not is_there and number > cursor.looks_again_from then
            cursor.late[number] = now + LATE_SECONDS
        end
    end
    return cursor.known >= last
end

-- Returns the number up to which a cursor has read everything.
function _M.settled(cursor)
    local settled = cursor.known
    for number in pairs(cursor.late) do
        settled = min(settled, number - 1)
    end
    return settled
end

-- Brings the entries that this worker has not read to the library. With `may_pause`, others get their turn in between.
function records:follow(may_pause)
    local function bring(entry, number)
        local kind, id, rest = match(entry, "^([+=~-])(%d+) (.*)$")
        id = tonumber(id)
        if kind == "-" or kind == "~" then
            library.rn_revocations_remove(id)
        elseif not self.dict:get("gone " .. id) and library.rn_revocations_add(id, rest, #rest, ngx.time()) ~= OK then
            ngx.log(ngx.ERR, "route_native.revocation: entry ", number, " of the dictionary is no revocation")
        end
    end
    while not self:walk(self.read, bring, may_pause and BATCH or math.huge) do
        ngx.sleep(PAUSE_SECONDS)
    end
end

-- Returns whether the revocations of this worker have changed since the last call. A request that revokes follows at
-- once, and the timer learns of it here.
function records:take_news()
    local generation = library.rn_revocations_generation()
    local has_news = generation ~= self.generation
    self.generation = generation
    return has_news
end

-- Moves an entry to the end of the log, as one of this node: the leader may be just about to bring it to Redis. Returns
-- false if the dictionary is full.
local function move(self, number)
    local key = "entry " .. number
    local entry, ends_at = self.dict:get(key), ngx.time() + (self.dict:ttl(key) or 0)
    if not entry then
        return true
    end
    local moved = append(self, entry:gsub("^=", "+"):gsub("^~", "-"), ends_at)
    if not moved then
        return false
    end
    local id = match(entry, "^[+=](%d+)")
    if id then
        self.dict:replace("id " .. id, moved, max(ends_at - ngx.time(), 1))
    end
    self.dict:delete(key)
    return true
end

-- Moves "first" behind the entries that have ended, at most a thousand at once. One worker calls it. A few that last
-- would keep it back for ever, so that each new worker had to read millions of numbers: then these move.
function records:forget_ended()
    local first, last = self:bounds()
    local span = last - first
    local is_sparse = span > SPARSE_NUMBERS and span > 4 * tonumber(library.rn_revocations_count())
    local number, stop = first, min(first + 1000, last - LATE_ENTRIES)
    while number < stop and (not self.dict:get("entry " .. number) or is_sparse and move(self, number)) do
        number = number + 1
    end
    if number > first then
        self.dict:set("first", number)
    end
end

return _M
