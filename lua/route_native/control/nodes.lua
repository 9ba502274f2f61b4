-- Shares the revocations with other nodes, each an nginx of its own, through Redis.
--
--     dict "entry N" ──► outgoing ──► script in Redis ──► take() ──► dict "entry N" ──► every worker (records.lua)
--
-- One worker of a node leads. Five times a second it brings what the node has revoked, and takes what others have. It
-- keeps the position in the dictionary, so that a reload or another leader goes on there. The newest event that the
-- node has seen stands for all before it. If Redis no longer has it, Redis was emptied, or a replica took over that
-- lacked events: then the node reads from the beginning and brings all that it knows. Whatever happens twice changes
-- nothing, so two leaders at once do no harm.
--
-- A node is current as long as it reaches the end of the log. What it knows counts always. The setting `fail` says
-- whether tokens are accepted when it has not been current for `fail_seconds`.

local config = require "route_native.core.config"
local library = require "route_native.core.ffi"
local records_of = require "route_native.control.records"
local redis_log = require "route_native.control.redis_log"

local find, format, match, sub = string.find, string.format, string.match, string.sub
local ngx = ngx
local now = ngx.now

-- How long a leader leads without a sign of life, in seconds, and how much longer workers that exit let others lead.
local LEASE_SECONDS, COURTESY_SECONDS = 1, 1
-- The revocations that one exchange brings, their bytes, and the entries that are read for it.
local MAX_OUTGOING, MAX_OUTGOING_BYTES, MAX_READ = 64, 131072, 2000
-- The exchanges in a row. The next ones are a fifth of a second later.
local MAX_EXCHANGES = 200
-- How often the log says that something stays wrong, and how soon entries that did not fit are read again, in seconds.
local COMPLAINT_SECONDS, RETRY_SECONDS = 60, 10
-- The longest password, and text of an error, in bytes.
local MAX_PASSWORD_BYTES, MAX_ERROR_BYTES = 4096, 200
-- The time for each answer of Redis, in milliseconds.
local TIMEOUT = 500

-- The numbers that the workers share. They exist from the start, because a full dictionary takes no new key.
--
--     leader, leader_until    the process that leads, and how long
--     sent, resend_until      the number up to which entries were brought; up to which those of other nodes are too
--     current_at, is_loaded   when the node was current, and whether it ever was
--     started_at              when it began
--     away_since              since when Redis does not answer, or 0
--     is_refusing             whether tokens are refused for it
--     misfits, read_again_at  the entries that did not fit, and when they are read again
--     bad_at, full_at, unsent_at   when the log was told of bad entries, a full dictionary, and a full Redis
local NUMBERS = {
    "leader", "leader_until", "sent", "resend_until", "current_at", "is_loaded", "started_at", "away_since",
    "is_refusing", "misfits", "read_again_at", "bad_at", "full_at", "unsent_at",
}
local POSITION = "%-15s %-40s %-15s"
local CAN_WAIT = { rewrite = true, access = true, content = true, timer = true }

local addresses = config.words(nil, "addresses, each host:port, with blanks between")

local _M = {}
local nodes = {}
nodes.__index = nodes

_M.ROWS = {
    { "redis", addresses, variable = "ROUTE_REVOCATION_REDIS" },
    { "sentinels", addresses, variable = "ROUTE_REVOCATION_SENTINELS" },
    { "master", config.text("^[%w_.-]+$", "a name of letters, digits and _ . -"),
        variable = "ROUTE_REVOCATION_MASTER" },
    { "redis_user", config.text(), variable = "ROUTE_REVOCATION_REDIS_USER" },
    { "redis_password_file", config.text(), variable = "ROUTE_REVOCATION_REDIS_PASSWORD_FILE" },
    { "sentinel_password_file", config.text(), variable = "ROUTE_REVOCATION_SENTINEL_PASSWORD_FILE" },
    { "redis_tls", config.text("^[%w.-]+$", '"on", "off" or the name in the certificate'), default = "off",
        variable = "ROUTE_REVOCATION_REDIS_TLS" },
    { "fail", config.choice("open", "closed"), variable = "ROUTE_REVOCATION_FAIL", default = "open" },
    { "fail_seconds", config.whole(2, 86400, "seconds"), variable = "ROUTE_REVOCATION_FAIL_SECONDS", default = 60 },
}

-- Returns the password in a file, or nil without a path.
local function read_password(owner, label, path)
    if not path then
        return nil
    end
    local file = io.open(path, "rb")
    -- A directory can be opened, and not read.
    local text = file and file:read(MAX_PASSWORD_BYTES + 1)
    if file then
        file:close()
    end
    local password = text and match(text, "^(.-)[\r\n]*$")
    if not password or password == "" or #text > MAX_PASSWORD_BYTES then
        config.fail(owner, "%s must name a file that can be read and holds a password", label)
    end
    return password
end

-- Returns the settings of store/redis.lua, or nil if there is no Redis.
local function redis_settings(owner, values, labels)
    if (values.sentinels == nil) ~= (values.master == nil) then
        config.fail(owner, "%s and %s go together", labels.sentinels, labels.master)
    elseif values.sentinels and values.redis then
        config.fail(owner, "%s or %s says where Redis is, and not both", labels.redis, labels.sentinels)
    elseif not values.sentinels and not values.redis then
        return nil
    end
    local tls = values.redis_tls ~= "off"
    return {
        owner = "revocation", labels = { address = labels.redis, sentinels = labels.sentinels },
        addresses = values.redis, sentinels = values.sentinels, master = values.master,
        username = values.redis_user, password = read_password(owner, labels.redis_password_file,
            values.redis_password_file),
        sentinel_password = read_password(owner, labels.sentinel_password_file, values.sentinel_password_file),
        tls = tls, tls_verify = true, tls_name = values.redis_tls == "on" or values.redis_tls,
        timeout = TIMEOUT, pool_size = 8, pool_idle = 60000,
    }
end

-- Returns the nodes that share the records, or nil if the settings, which have been read by ROWS, name no Redis. Raises
-- an error of one sentence about a mistake.
function _M.new(owner, values, labels, dict, records)
    local settings = redis_settings(owner, values, labels)
    if not settings then
        return nil
    end
    for _, name in ipairs(NUMBERS) do
        dict:safe_add(name, 0)
    end
    local self = setmetatable({
        dict = dict, records = records, log = redis_log.new(settings), outgoing = {}, outgoing_bytes = 0,
        is_closed = values.fail == "closed", fail_seconds = values.fail_seconds,
    }, nodes)
    if dict:get("started_at") == 0 then
        dict:set("started_at", now())
        self:keep_position(redis_log.NOTHING)
    end
    return self
end

-- Stores the position. Its length is always the same: only then a full dictionary takes it.
function nodes:keep_position(position)
    self.dict:set("position", format(POSITION, position.after, position.event, position.number))
end

function nodes:position()
    local after, event, number = match(self.dict:get("position"), "^(%d+) +(%S*) +(%d*) *$")
    return { after = after, event = event, number = number }
end

-- Returns whether this worker leads, and extends its lease.
local function leads(self)
    local dict, pid = self.dict, ngx.worker.pid()
    local courtesy = ngx.worker.exiting() and COURTESY_SECONDS or 0
    if dict:get("leader") ~= pid then
        self.cursor = self.is_busy and self.cursor or nil
        local left = dict:get("leader_until") - now()
        -- After the clock was set back, a lease would seem to last.
        if left + courtesy > 0 and left <= LEASE_SECONDS then
            return false
        end
        dict:set("leader", pid)
    end
    dict:set("leader_until", now() + LEASE_SECONDS)
    return true
end

-- Lets another worker lead.
function nodes:resign()
    if self.dict:get("leader") == ngx.worker.pid() then
        self.dict:set("leader", 0)
        self.dict:set("leader_until", 0)
    end
end

-- Reads entries to bring. Returns whether there may be more.
local function collect(self)
    if not self.cursor then
        self.cursor, self.outgoing, self.outgoing_bytes = self.records:cursor(self.dict:get("sent")), {}, 0
    end
    if #self.outgoing > 0 then
        return true
    end
    local resend_until, outgoing = self.dict:get("resend_until"), self.outgoing
    return not self.records:walk(self.cursor, function(entry, number)
        local kind, id, rest = match(entry, "^([+=~-])(%d+) (.*)$")
        if kind == "+" or kind == "-" or number <= resend_until then
            local is_withdrawal = kind == "-" or kind == "~"
            outgoing[#outgoing + 1] = {
                id = id, ends = is_withdrawal and rest or match(rest, '"ends":(%d+)'),
                value = is_withdrawal and "-" .. rest or rest,
            }
            self.outgoing_bytes = self.outgoing_bytes + #rest
        end
        return #outgoing >= MAX_OUTGOING or self.outgoing_bytes > MAX_OUTGOING_BYTES
    end, MAX_READ)
end

-- Notes that Redis has what was collected.
local function confirm(self)
    self.outgoing, self.outgoing_bytes = {}, 0
    self.dict:set("sent", records_of.settled(self.cursor))
end

-- Begins anew with a Redis that has lost events: the node reads all of it, and brings all that itself knows.
local function begin_anew(self)
    local first, last = self.records:bounds()
    self:keep_position(redis_log.NOTHING)
    self.dict:set("sent", first - 1)
    self.dict:set("resend_until", last)
    self.dict:set("misfits", 0)
    self.cursor = nil
    ngx.log(ngx.WARN, "route_native.revocation: Redis has lost revocations, and gets those that this node knows")
end

-- Says once a minute that something stays wrong.
local function complain(self, name, message)
    if self.dict:get(name) + COMPLAINT_SECONDS <= now() then
        self.dict:set(name, now())
        ngx.log(ngx.ERR, "route_native.revocation: ", message)
    end
end

-- Takes the entries of an answer.
local function take(self, reply)
    local misfits, bad = 0, 0
    for id, value in reply.entries do
        local result = self.records:take(id, value)
        misfits = misfits + (result == "full" and 1 or 0)
        bad = bad + (result == "bad" and 1 or 0)
    end
    if misfits > 0 then
        self.dict:set("misfits", self.dict:get("misfits") + misfits)
        complain(self, "full_at", "the dictionary is full, and revocations of other nodes do not fit")
    end
    if bad > 0 then
        complain(self, "bad_at", format("%d entries in Redis are no revocations", bad))
    end
    self.records:follow()
end

-- Notes that Redis does not answer as it should.
local function note_away(self, err)
    local dict = self.dict
    if dict:get("away_since") == 0 then
        dict:set("away_since", now())
        err = sub(err or "failed", 1, MAX_ERROR_BYTES):gsub("%c", " ")
        ngx.log(ngx.ERR, "route_native.revocation: Redis is away, and what is known counts: ", err)
    end
end

-- Says once that tokens are refused.
local function note_refusal(self)
    local is_refusing = self:is_outdated() and 1 or 0
    if is_refusing ~= self.dict:get("is_refusing") then
        self.dict:set("is_refusing", is_refusing)
        ngx.log(is_refusing == 1 and ngx.ERR or ngx.NOTICE, "route_native.revocation: tokens are ",
            is_refusing == 1 and "refused, because nobody knows what is revoked" or "accepted again")
    end
end

-- Notes that the node has reached the end of the log.
local function note_current(self)
    local dict = self.dict
    local away_since = dict:get("away_since")
    if away_since > 0 then
        dict:set("away_since", 0)
        ngx.log(ngx.NOTICE, format("route_native.revocation: Redis is back after %.1f seconds", now() - away_since))
    end
    if dict:get("misfits") == 0 then
        dict:set("current_at", now())
        dict:set("is_loaded", 1)
    elseif dict:get("read_again_at") <= now() then
        dict:set("read_again_at", now() + RETRY_SECONDS)
        dict:set("misfits", 0)
        local position = self:position()
        position.after = "0"
        self:keep_position(position)
    end
end

-- Sends what was collected. A Redis that is full refuses it, and can be read. Returns the reply, or nil and an error;
-- and whether Redis has what was collected.
local function exchange(self)
    local reply, err = self.log:exchange(self:position(), self.outgoing)
    if not reply and #self.outgoing > 0 and find(err or "", "OOM", 1, true) then
        complain(self, "unsent_at", "Redis is full, and takes no more revocations")
        reply, err = self.log:exchange(self:position(), {})
        return reply, err, false
    end
    return reply, err, true
end

-- Exchanges revocations. Returns "all" if this node knows all then, "more" if it goes on later, or nil and an error.
local function exchange_all(self)
    local has_begun_anew = false
    for _ = 1, MAX_EXCHANGES do
        local has_more = collect(self)
        local reply, err, is_taken = exchange(self)
        if not reply then
            return nil, err
        elseif reply.is_lost then
            if has_begun_anew then
                return nil, "what Redis holds changes all the time"
            end
            has_begun_anew = true
            begin_anew(self)
        else
            take(self, reply)
            self:keep_position(reply.position)
            if is_taken then
                confirm(self)
            end
            if not reply.has_more and not (has_more and is_taken) then
                return "all"
            end
        end
    end
    return "more"
end

-- Exchanges revocations, if this worker leads. A call while another one is under way extends the lease.
function nodes:lead()
    if not leads(self) or self.is_busy then
        return
    end
    self.is_busy = true
    local ok, result, err = pcall(exchange_all, self)
    self.is_busy = false
    if ok and result == "all" then
        note_current(self)
    elseif not (ok and result) then
        note_away(self, ok and err or result)
    end
    note_refusal(self)
end

-- Brings one revocation to Redis at once, if the phase can wait and Redis answers. Otherwise the leader brings it.
function nodes:bring(id, ends_at, value)
    if CAN_WAIT[ngx.get_phase()] and self.dict:get("away_since") == 0 then
        self.log:bring { id = id, ends = ends_at, value = value }
    end
end

-- Returns how long ago the node knew all revocations, in seconds; before it ever did, how long ago it began.
function nodes:age()
    return math.max(now() - math.max(self.dict:get("current_at"), self.dict:get("started_at")), 0)
end

-- Returns the number of revocations of other nodes that do not fit into the dictionary.
function nodes:misfits()
    return self.dict:get("misfits")
end

-- Returns whether the node knows too little to accept a token.
function nodes:is_outdated()
    if self.dict:get("is_loaded") == 1 then
        return self.is_closed and self:age() > self.fail_seconds
    end
    return self.is_closed or self:age() < self.fail_seconds
end

-- Tells the library of this worker. Call it after the worker has read all entries.
function nodes:tell()
    local is_outdated = self:is_outdated()
    if is_outdated ~= self.was_outdated then
        self.was_outdated = is_outdated
        library.rn_revocations_set_outdated(is_outdated and 1 or 0)
    end
end

-- Returns whether requests should wait: the node has begun just now, and reads what is revoked.
function nodes:is_loading()
    return self.dict:get("is_loaded") == 0 and self.dict:get("away_since") == 0 and self:is_outdated()
end

return _M
