-- A JWK Set that another server publishes (RFC 7517 §5), by its URL: fetched on first need, shared by all workers.
--
--     this worker's keys ── ngx.shared ── one question for all workers ──► the server
--
-- Keys count for max_age; then one request asks for them anew, while the others go on with those that are there. A
-- `kid` that none of them bears is asked for at once, but not within `cooldown` of the last answer. While the server
-- fails, the last good set counts for `stale` seconds more; after that nobody can say what a token is worth, and the
-- status is one of the 300s: the server's fault, never the token's.

local config = require "route_native.core.config"
local singleflight = require "route_native.core.singleflight.shared"
local keyring = require "route_native.jwt.keyring"
local lrucache = require "resty.lrucache"
local outbound = require "route_native.http.outbound"
local reason = require "route_native.core.status"

local ngx = ngx
local now = ngx.now

local OK = reason.OK

-- A failing server is asked again after so many seconds, or after `cooldown` when that is shorter.
local RETRY_SECONDS = 5
-- How often a worker looks whether another one has newer keys, in seconds.
local LOOK_SECONDS = 1
-- Configurations are written by hand; more than this are made by a program, and forgotten.
local MAX_KNOWN = 256

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

local ACCEPT = "application/jwk-set+json, application/json;q=0.9"
local TYPES = { ["application/jwk-set+json"] = true, ["application/json"] = true }

local _M = {}
local published = {}
published.__index = published

local function complain(self, sentence)
    local use = self.keys and "; the keys fetched before stay in use for a while" or ""
    ngx.log(ngx.ERR, "route_native: the JWK Set at ", self.name, ": ", sentence, use)
end

-- Asks the server. Returns the text and the keys in it, or nil, the reason's status and a sentence.
local function fetch(self)
    local answer, sentence, trouble = outbound.ask(self.target)
    if not answer then
        return nil, trouble, sentence
    elseif answer.status ~= 200 then
        return nil, reason.SERVER_FAILED, "status " .. answer.status
    end
    local media_type = (answer.headers["content-type"] or ""):lower():match("^%s*([^;%s]*)")
    if not TYPES[media_type] then
        return nil, reason.SERVER_ANSWER_INVALID, "the answer's content type is neither application/json nor "
            .. "application/jwk-set+json"
    end
    local keys, message = keyring.published(answer.body)
    if not keys then
        return nil, reason.SERVER_ANSWER_INVALID, message
    end
    return answer.body, keys
end

-- Takes what another worker has fetched.
local function take(self, dict)
    local fetched = dict:get(self.id .. "time")
    local text = fetched and fetched ~= self.fetched and dict:get(self.id .. "set")
    if not text then
        return
    end
    if text ~= self.text then
        self.keys = keyring.published(text) or self.keys
        self.text = text
    end
    self.fetched = fetched
end

-- Keeps what this worker has fetched, for itself and for the others.
local function keep(self, dict, text, keys)
    self.text, self.keys, self.fetched = text, keys, now()
    local seconds = self.max_age + self.stale
    local ok, trouble = dict:set(self.id .. "set", text, seconds)
    ok = ok and dict:set(self.id .. "time", self.fetched, seconds)
    if not ok then
        complain(self, "lua_shared_dict " .. self.cache_name .. " does not hold it: " .. tostring(trouble))
    end
end

-- What came of the last question, as long as there is to be no other.
local function last_status(self, dict)
    return dict:get(self.id .. "asked")
end

-- The same, when it is a failure.
local function failed_status(self, dict)
    local status = last_status(self, dict)
    return status ~= OK and status or nil
end

local function work(self, dict)
    local text, keys, sentence = fetch(self)
    local status = text and OK or keys
    local pause = text and self.cooldown or math.min(self.cooldown, RETRY_SECONDS)
    dict:set(self.id .. "asked", status, pause)
    if text then
        keep(self, dict, text, keys)
    else
        complain(self, sentence)
    end
    return tostring(status), status == OK
end

-- Has the server asked, once for all who need it now. Returns the status. `is_optional`: no wait for another who asks.
local function ask(self, dict, is_optional)
    local possible, sentence = outbound.possible(self.target)
    if not possible then
        complain(self, sentence)
        return reason.SETTING_INVALID
    end
    local before = self.fetched
    local function find()
        take(self, dict)
        if self.keys and self.fetched ~= before then
            return tostring(OK)
        end
        local status = failed_status(self, dict)
        return status and tostring(status)
    end
    local outcome = singleflight.run(dict, self.id, find, function() return work(self, dict) end, is_optional)
    return tonumber(outcome or reason.SERVER_UNREACHABLE)
end

-- One request at a time asks for keys that are still good.
local function renew_early(self, dict)
    if not last_status(self, dict) and outbound.possible(self.target) then
        ask(self, dict, true)
    end
end

local function dictionary(self)
    local dict = ngx.shared[self.cache_name]
    if not dict then
        complain(self, "lua_shared_dict " .. self.cache_name .. " is missing")
    end
    return dict
end

-- Sees to it that there are keys which count. Returns the status.
local function look(self)
    local dict = dictionary(self)
    if not dict then
        return reason.SETTING_INVALID
    end
    take(self, dict)
    local age = now() - self.fetched
    if self.keys and age < self.max_age + self.stale then
        self.look_at = math.min(now() + LOOK_SECONDS, self.fetched + self.max_age + self.stale)
        if age >= self.max_age then
            renew_early(self, dict)
        end
        -- While this one waited, another request may have found them too old.
        return self.keys and OK or failed_status(self, dict) or reason.SERVER_UNREACHABLE
    end
    self.keys, self.text = nil, nil
    return failed_status(self, dict) or ask(self, dict)
end

-- The handle for the library, or nil and the status.
function published:current()
    if now() >= self.look_at then
        local status = look(self)
        if status ~= OK then
            return nil, status
        end
    end
    return self.keys.handle
end

-- To be called when none of the current keys bears a token's `kid`. Returns the status: OK when there are newer keys,
-- KEY_NOT_FOUND when these are the newest, else why nobody knows.
function published:renew()
    local dict = dictionary(self)
    if not dict then
        return reason.SETTING_INVALID
    end
    local before = self.fetched
    take(self, dict)
    if self.fetched ~= before then
        return OK
    end
    local last = last_status(self, dict)
    if last == OK then
        return reason.KEY_NOT_FOUND
    end
    return last or ask(self, dict)
end

-- Those that were made, by what they are made of.
local known = assert(lrucache.new(MAX_KNOWN))

-- Makes keys from checked values: url (from outbound.parse_url), cooldown, max_age, stale, verify_ssl, upstream and
-- cache_name. The same values give the same keys. Returns nil and a sentence when the upstream block is in use.
local function make(values)
    local url = values.url
    local parts = { url.text, values.cooldown, values.max_age, values.stale, tostring(values.verify_ssl),
        values.upstream or "", values.cache_name }
    local id = "jwks " .. table.concat(parts, " ") .. " "
    local keys = known:get(id)
    if keys then
        return keys
    end
    local target, sentence = outbound.target { url = url, upstream = values.upstream, verify_ssl = values.verify_ssl,
        accept = ACCEPT }
    if not target then
        return nil, sentence
    end
    local self = setmetatable({
        id = id,
        -- What logs may say: a query could hold anything.
        name = url.scheme .. "://" .. url.authority .. url.rest:match("^[^?]*"),
        target = target, cache_name = values.cache_name,
        cooldown = values.cooldown, max_age = values.max_age, stale = values.stale,
        fetched = 0, look_at = 0,
    }, published)
    keys = keyring.of_source(self)
    known:set(id, keys)
    return keys
end

-- Keys from a table of settings. A mistake is an error of one sentence. `may_lack_dictionary`: a missing dictionary is
-- none, because the caller says so itself in each request. jwt.lua documents the settings.
function _M.new(given, may_lack_dictionary)
    local values = config.read(OWNER, ROWS, given)
    local sentence
    values.url, sentence = outbound.parse_url(values.url)
    if not values.url then
        config.fail(OWNER, 'the field "url" %s', sentence)
    elseif not may_lack_dictionary and not ngx.shared[values.cache_name] then
        config.fail(OWNER, "lua_shared_dict %s is missing", values.cache_name)
    end
    local keys
    keys, sentence = make(values)
    return keys or config.fail(OWNER, "%s", sentence)
end

return _M
