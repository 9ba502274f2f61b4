-- The JWK Set that another server publishes at a URL (RFC 7517 §5). http/published.lua fetches it, keeps it, and
-- fetches it again for an unknown `kid`.

local config = require "route_native.core.config"
local metrics = require "route_native.core.metrics"
local ready = require "route_native.core.ready"
local keyring = require "route_native.jwt.keyring"
local lrucache = require "resty.lrucache"
local outbound = require "route_native.http.outbound"
local published = require "route_native.http.published"

local ngx = ngx

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
local source = {}
source.__index = source

-- Returns the handle of usable keys, or nil and the status.
function source:current()
    local keys, status = self.document:current()
    return keys and keys.handle, status
end

-- Returns whether there are newer keys, as published:refresh() does.
function source:refresh()
    return self.document:refresh()
end

-- Tells when this nginx has last fetched the set, if it has.
function source:tell(tell)
    local fetched = self.document:fetched_at()
    if fetched then
        tell(fetched, "jwks_last_success_timestamp_seconds", self.document.name)
        tell(ngx.now() - fetched, "jwks_age_seconds", self.document.name)
    end
end

-- Returns nil if there are keys, or what is missing. With `may_ask` it fetches a set that no request has needed yet.
function source:missing(may_ask)
    if not ngx.shared[self.document.cache_name] then
        return "The dictionary of a JWK Set is not there"
    end
    -- The dictionary has the set as long as it may be used.
    local is_usable = self.document:fetched_at() ~= nil or may_ask and self:current() ~= nil
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
    local document = published.new {
        id = id, what = "the JWK Set", name = url.shown, target = target, cache_name = values.cache_name,
        cooldown = values.cooldown, max_age = values.max_age, stale = values.stale,
        read = function(text) return keyring.published(text, url.shown) end,
        on_fetch = function(result) metrics.count("jwks_fetches_total", url.shown, result) end,
    }
    local self = setmetatable({ document = document }, source)
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
