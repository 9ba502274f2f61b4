-- Documents that other servers publish at a URL: JWK Sets and the metadata of providers. The first request that needs
-- one fetches it for all workers.
--
--     this worker's value ── ngx.shared ── one fetch for all workers ──► the server
--
-- A document is fresh for `max_age` seconds. Then one request fetches it again, while the others use the old one. A
-- refresh() fetches at once, but not within `cooldown` seconds of the last fetch. While the server fails, the last good
-- document stays in use for another `stale` seconds. After that there is none, and the status is one of the 300s: the
-- server's fault, never the token's.

local singleflight = require "route_native.core.singleflight.shared"
local outbound = require "route_native.http.outbound"
local statuses = require "route_native.core.status"

local ngx = ngx
local now = ngx.now

local OK = statuses.OK

-- The pause after a failed fetch, in seconds, or `cooldown` if that is shorter.
local RETRY_SECONDS = 5
-- How often a worker checks whether another one has stored a newer document, in seconds.
local CHECK_SECONDS = 1

local _M = {}
local published = {}
published.__index = published

local function log_error(self, message)
    local use = self.value and "; what was fetched before stays in use for a while" or ""
    ngx.log(ngx.ERR, "route_native: ", self.what, " at ", self.name, ": ", message, use)
end

-- Fetches the document. Returns its text and its value, or nil, the status and an error.
local function fetch(self)
    local answer, err, status = outbound.ask(self.target)
    if not answer then
        return nil, status, err
    elseif answer.status ~= 200 then
        return nil, statuses.SERVER_FAILED, "status " .. answer.status
    end
    local value
    value, err = self.read(answer.body)
    if not value then
        return nil, statuses.SERVER_ANSWER_INVALID, err
    end
    return answer.body, value
end

-- Loads the document that another worker has stored, if it is newer.
local function load(self, dict)
    local fetched = dict:get(self.id .. "time")
    local text = fetched and fetched ~= self.fetched and dict:get(self.id .. "set")
    if not text then
        return
    end
    if text ~= self.text then
        self.value = self.read(text) or self.value
        self.text = text
    end
    self.fetched = fetched
end

-- Stores a fetched document, for this worker and in the dictionary for the others.
local function store(self, dict, text, value)
    self.text, self.value, self.fetched = text, value, now()
    local seconds = self.max_age + self.stale
    local ok, err = dict:set(self.id .. "set", text, seconds)
    ok = ok and dict:set(self.id .. "time", self.fetched, seconds)
    if not ok then
        log_error(self, "lua_shared_dict " .. self.cache_name .. " does not hold it: " .. tostring(err))
    end
end

-- Returns the status of the last fetch, or nil if a new fetch is allowed.
local function last_status(self, dict)
    return dict:get(self.id .. "asked")
end

-- Returns the status of the last fetch if it failed and a new fetch is not allowed yet.
local function failed_status(self, dict)
    local status = last_status(self, dict)
    return status ~= OK and status or nil
end

-- Fetches and stores the document, or notes the failure. Returns the status as text, and whether it is OK.
local function fetch_and_store(self, dict)
    local text, value, err = fetch(self)
    local status = text and OK or value
    local pause = text and self.cooldown or math.min(self.cooldown, RETRY_SECONDS)
    dict:set(self.id .. "asked", status, pause)
    if self.on_fetch then
        self.on_fetch(text and "ok" or statuses.name(status))
    end
    if text then
        store(self, dict, text, value)
    else
        log_error(self, err)
    end
    return tostring(status), status == OK
end

-- Fetches the document once for all requests that need it now. Returns the status. With `is_optional` the request does
-- not wait for the fetch of another one.
local function fetch_once(self, dict, is_optional)
    local possible, err = outbound.possible(self.target)
    if not possible then
        log_error(self, err)
        return statuses.SETTING_INVALID
    end
    local before = self.fetched
    local function find()
        load(self, dict)
        if self.value and self.fetched ~= before then
            return tostring(OK)
        end
        local status = failed_status(self, dict)
        return status and tostring(status)
    end
    local function work()
        return fetch_and_store(self, dict)
    end
    local outcome = singleflight.run(dict, self.id, find, work, is_optional)
    return tonumber(outcome or statuses.SERVER_UNREACHABLE)
end

-- Fetches the document while the old one is still usable. One request does so at a time.
local function refresh_early(self, dict)
    if not last_status(self, dict) and outbound.possible(self.target) then
        fetch_once(self, dict, true)
    end
end

-- Returns the dictionary, or logs that it is missing.
local function dictionary(self)
    local dict = ngx.shared[self.cache_name]
    if not dict then
        log_error(self, "lua_shared_dict " .. self.cache_name .. " is missing")
    end
    return dict
end

-- Ensures that a usable document is loaded. Returns the status.
local function ensure_fresh(self)
    local dict = dictionary(self)
    if not dict then
        return statuses.SETTING_INVALID
    end
    load(self, dict)
    local age = now() - self.fetched
    if self.value and age < self.max_age + self.stale then
        self.check_at = math.min(now() + CHECK_SECONDS, self.fetched + self.max_age + self.stale)
        if age >= self.max_age then
            refresh_early(self, dict)
        end
        -- While this request waited, another one may have discarded the document as too old.
        return self.value and OK or failed_status(self, dict) or statuses.SERVER_UNREACHABLE
    end
    self.value, self.text = nil, nil
    return failed_status(self, dict) or fetch_once(self, dict)
end

-- Returns the usable value of the document, or nil and the status.
function published:current()
    if now() >= self.check_at then
        local status = ensure_fresh(self)
        if status ~= OK then
            return nil, status
        end
    end
    return self.value
end

-- Loads or fetches a newer document, for a token whose `kid` no current key has. Returns the status: OK if there is
-- one, KEY_NOT_FOUND if the current one is the newest, or the status of a failed fetch.
function published:refresh()
    local dict = dictionary(self)
    if not dict then
        return statuses.SETTING_INVALID
    end
    local before = self.fetched
    load(self, dict)
    if self.fetched ~= before then
        return OK
    end
    local last = last_status(self, dict)
    if last == OK then
        return statuses.KEY_NOT_FOUND
    end
    return last or fetch_once(self, dict)
end

-- Returns when this nginx has last fetched the document, in seconds since the epoch, or nil if none is usable.
function published:fetched_at()
    local dict = ngx.shared[self.cache_name]
    return dict and dict:get(self.id .. "time")
end

-- Returns a document that is fetched when it is first needed: { id, what, name, target, read, cache_name, cooldown,
-- max_age, stale, on_fetch }. `id` identifies the configuration, `what` and `name` are for the log, read(text) returns
-- the value, or nil and an error, and on_fetch(result) learns of each fetch: "ok" or a reason.
function _M.new(document)
    document.fetched, document.check_at = 0, 0
    return setmetatable(document, published)
end

return _M
