-- The JWK Set that another server publishes at a URL (RFC 7517 §5). The first request that needs it fetches it for all
-- workers.
--
--     this worker's keys ── ngx.shared ── one fetch for all workers ──► the server
--
-- Keys are fresh for `max_age` seconds. Then one request fetches them again, while the others use the old ones. An
-- unknown `kid` causes a fetch at once, but not within `cooldown` seconds of the last one. While the server fails, the
-- last good set stays in use for another `stale` seconds. After that no token can be verified, and the status is one of
-- the 300s: the server's fault, never the token's.

local config = require "route_native.core.config"
local metrics = require "route_native.core.metrics"
local ready = require "route_native.core.ready"
local singleflight = require "route_native.core.singleflight.shared"
local keyring = require "route_native.jwt.keyring"
local lrucache = require "resty.lrucache"
local outbound = require "route_native.http.outbound"
local statuses = require "route_native.core.status"

local ngx = ngx
local now = ngx.now

local OK = statuses.OK

-- The pause after a failed fetch, in seconds, or `cooldown` if that is shorter.
local RETRY_SECONDS = 5
-- How often a worker checks whether another one has stored newer keys, in seconds.
local CHECK_SECONDS = 1
-- The cached configurations. Only a program that generates configurations has more.
local MAX_CACHED = 256

local OWNER = "route_native.jwt: jwks()"
local ROWS = {
    { "url", config.text(), required = true },
    { "cooldown", config.whole(1, 86400, "seconds"), default = 30 },
    { "max_age", config.whole(1, 7 * 86400, "seconds"), default = 600 },
    { "stale", config.whole(0, 7 * 86400, "seconds"), default = 3600 },
    { "verify_ssl", config.boolean(), default = true },
    { "upstream", config.text("^[%w._-]+$", "the name of an upstream block") },
    { "cache_name", config.text(), default = "route_native_jwks" },
}

-- Servers send sets under other types too. The body is checked, whatever its type.
local ACCEPT = "application/jwk-set+json, application/json;q=0.9, */*;q=0.1"

local _M = {}
local published = {}
published.__index = published

local function log_error(self, message)
    local use = self.keys and "; the keys fetched before stay in use for a while" or ""
    ngx.log(ngx.ERR, "route_native: the JWK Set at ", self.name, ": ", message, use)
end

-- Fetches the set. Returns its text and its keys, or nil, the status and an error.
local function fetch(self)
    local answer, err, status = outbound.ask(self.target)
    if not answer then
        return nil, status, err
    elseif answer.status ~= 200 then
        return nil, statuses.SERVER_FAILED, "status " .. answer.status
    end
    local keys
    keys, err = keyring.published(answer.body, self.name)
    if not keys then
        return nil, statuses.SERVER_ANSWER_INVALID, err
    end
    return answer.body, keys
end

-- Loads the set that another worker has stored, if it is newer.
local function load(self, dict)
    local fetched = dict:get(self.id .. "time")
    local text = fetched and fetched ~= self.fetched and dict:get(self.id .. "set")
    if not text then
        return
    end
    if text ~= self.text then
        self.keys = keyring.published(text, self.name) or self.keys
        self.text = text
    end
    self.fetched = fetched
end

-- Stores a fetched set, for this worker and in the dictionary for the others.
local function store(self, dict, text, keys)
    self.text, self.keys, self.fetched = text, keys, now()
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

-- Fetches and stores the set, or notes the failure. Returns the status as text, and whether it is OK.
local function fetch_and_store(self, dict)
    local text, keys, err = fetch(self)
    local status = text and OK or keys
    local pause = text and self.cooldown or math.min(self.cooldown, RETRY_SECONDS)
    dict:set(self.id .. "asked", status, pause)
    metrics.count("jwks_fetches_total", self.name, text and "ok" or statuses.name(status))
    if text then
        store(self, dict, text, keys)
    else
        log_error(self, err)
    end
    return tostring(status), status == OK
end

-- Fetches the set once for all requests that need it now. Returns the status. With `is_optional` the request does not
-- wait for the fetch of another one.
local function fetch_once(self, dict, is_optional)
    local possible, err = outbound.possible(self.target)
    if not possible then
        log_error(self, err)
        return statuses.SETTING_INVALID
    end
    local before = self.fetched
    local function find()
        load(self, dict)
        if self.keys and self.fetched ~= before then
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

-- Fetches the set while the old keys are still usable. One request does so at a time.
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

-- Ensures that usable keys are loaded. Returns the status.
local function ensure_fresh(self)
    local dict = dictionary(self)
    if not dict then
        return statuses.SETTING_INVALID
    end
    load(self, dict)
    local age = now() - self.fetched
    if self.keys and age < self.max_age + self.stale then
        self.check_at = math.min(now() + CHECK_SECONDS, self.fetched + self.max_age + self.stale)
        if age >= self.max_age then
            refresh_early(self, dict)
        end
        -- While this request waited, another one may have discarded the keys as too old.
        return self.keys and OK or failed_status(self, dict) or statuses.SERVER_UNREACHABLE
    end
    self.keys, self.text = nil, nil
    return failed_status(self, dict) or fetch_once(self, dict)
end

-- Returns the handle of usable keys, or nil and the status.
function published:current()
    if now() >= self.check_at then
        local status = ensure_fresh(self)
        if status ~= OK then
            return nil, status
        end
    end
    return self.keys.handle
end

-- Loads or fetches newer keys, for a token whose `kid` no current key has. Returns the status: OK if there are newer
-- keys, KEY_NOT_FOUND if the current ones are the newest, or the status of a failed fetch.
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

-- Tells when this nginx has last fetched the set, if it has.
function published:tell(tell)
    local dict = ngx.shared[self.cache_name]
    local fetched = dict and dict:get(self.id .. "time")
    if fetched then
        tell(fetched, "jwks_last_success_timestamp_seconds", self.name)
        tell(now() - fetched, "jwks_age_seconds", self.name)
    end
end

-- Returns nil if there are keys, or what is missing. With `may_ask` it fetches a set that no request has needed yet.
function published:missing(may_ask)
    local dict = ngx.shared[self.cache_name]
    if not dict then
        return "The dictionary of a JWK Set is not there"
    end
    -- The dictionary has the set as long as it may be used.
    local is_usable = dict:get(self.id .. "time") ~= nil
    if not is_usable and may_ask then
        is_usable = self:current() ~= nil
    end
    return not is_usable and "A JWK Set could not be fetched" or nil
end

-- Keys by their id, which is the text of their configuration.
local cached = assert(lrucache.new(MAX_CACHED))

-- Returns the keys of checked values: url (from outbound.parse_url), cooldown, max_age, stale, verify_ssl, upstream and
-- cache_name. The same values return the same keys. Returns nil and an error if the upstream block is in use.
local function open(values)
    local url = values.url
    local parts = { url.text, values.cooldown, values.max_age, values.stale, tostring(values.verify_ssl),
        values.upstream or "", values.cache_name }
    local id = "jwks " .. table.concat(parts, " ") .. " "
    local keys = cached:get(id)
    if keys then
        return keys
    end
    local target, err = outbound.target { url = url, upstream = values.upstream, verify_ssl = values.verify_ssl,
        accept = ACCEPT }
    if not target then
        return nil, err
    end
    local self = setmetatable({
        id = id,
        name = url.shown, target = target, cache_name = values.cache_name,
        cooldown = values.cooldown, max_age = values.max_age, stale = values.stale,
        fetched = 0, check_at = 0,
    }, published)
    keys = keyring.of_source(self)
    cached:set(id, keys)
    if ngx.get_phase() == "init" then
        -- Those of a configuration that a request brings come and go.
        metrics.collect(function(tell) self:tell(tell) end)
    end
    ready.add("jwks", function(may_ask) return self:missing(may_ask) end)
    return keys
end

-- Returns the keys of a configuration, which jwt.lua documents. A mistake raises an error of one sentence. With
-- `may_lack_dictionary` a missing dictionary raises none, because the caller reports it for each request.
function _M.new(input, may_lack_dictionary)
    local values = config.read(OWNER, ROWS, input)
    local err
    values.url, err = outbound.parse_url(values.url)
    if not values.url then
        config.fail(OWNER, 'the field "url" %s', err)
    elseif not may_lack_dictionary and not ngx.shared[values.cache_name] then
        config.fail(OWNER, "lua_shared_dict %s is missing", values.cache_name)
    end
    local keys
    keys, err = open(values)
    return keys or config.fail(OWNER, "%s", err)
end

return _M
