--- Revokes tokens, users, sessions, desktops and keys before their tokens expire.
--
--     include revocation_http.conf;                                -- the dictionary, and start()
--     init_by_lua_block { require("route_native.revocation").setup() }   -- or route_native.hooks.start()
--
--     require("route_native.revocation").revoke { sub = "ada" }
--
-- The desktop gateway, `auth.check()`, `jwt.verify()`, phantom tokens, border sessions and registrations of tunnels
-- refuse what is revoked, on every worker within a second, and in their caches too.
--
-- @module route_native.revocation

local cjson = require "cjson.safe"
local config = require "route_native.core.config"
local connections = require "route_native.control.connections"
local library = require "route_native.core.ffi"
local metrics = require "route_native.core.metrics"
local ready = require "route_native.core.ready"
local records_of = require("route_native.control.records").new
local revoked = require "route_native.core.revoked"

local ngx = ngx

local OWNER = "route_native.revocation: setup()"
-- The seconds between two looks for news.
local PERIOD = 0.2
-- How long a session that was logged out is revoked: longer than any worker needs to end its connections.
local SESSION_SECONDS = 60

local ROWS = {
    { "dict", config.text("^[%w_.-]+$", "the name of a lua_shared_dict"), default = "revocations" },
    { "seconds", config.whole(60, 366 * 86400, "seconds"), variable = "ROUTE_REVOCATION_SECONDS",
        default = 30 * 86400 },
}

local records

local _M = {}

--- Configures `setup()`.
-- @table SetupConfig
-- @tfield[opt="revocations"] string dict name of the `lua_shared_dict`; 1m holds some 4,000 revocations
-- @tfield[opt=ROUTE_REVOCATION_SECONDS] integer seconds how long a revocation without an end lasts, 60 to 31622400; the
-- longest life of a token is right; 2592000 by default

--- Prepares the revocations. Call it in `init_by_lua`. A mistake raises an error, which keeps nginx from starting.
-- @tparam[opt] SetupConfig input the configuration
function _M.setup(input)
    local values = config.read(OWNER, ROWS, input or {})
    local dict = ngx.shared[values.dict]
    if not dict then
        config.fail(OWNER, "lua_shared_dict %s is missing", values.dict)
    end
    records = records_of(dict, values.seconds)
    local nobody = revoked.identity {}
    ready.add("revocations", function()
        -- Without knowledge of the revocations, no token is accepted, not even one without a name.
        return library.rn_identity_check(nobody, #nobody, ngx.time()) ~= library.RN_OK
            and "The revocations are not known" or nil
    end)
end

--- Prepares the revocations if the dictionary is there and `setup()` was not called. Nothing is revocable without.
-- @treturn boolean whether revocations are prepared
function _M.prepare()
    if not records and ngx.shared.revocations then
        _M.setup()
    end
    return records ~= nil
end

local function get_records()
    return records or error("route_native.revocation: call setup() in init_by_lua first", 3)
end

-- Brings news to this worker, and ends the connections that may not go on.
local function follow()
    records:follow()
    if records:take_news() then
        connections.finish_revoked()
    end
    connections.finish_expired()
    if ngx.worker.id() == 0 then
        records:forget_ended()
    end
end

-- Does the same until the last connection of a worker that is shutting down has ended: it starts no timer any more.
local function follow_to_the_end()
    while connections.count() > 0 do
        follow()
        ngx.sleep(PERIOD)
    end
end

--- Brings the revocations to this worker, and keeps them current. Call it in `init_worker_by_lua`.
function _M.start()
    if not records then
        _M.setup()
    end
    records:follow()
    assert(ngx.timer.every(PERIOD, function(premature)
        if premature or ngx.worker.exiting() then
            return follow_to_the_end()
        end
        return follow()
    end))
end

--- Describes a revocation. It has exactly one of the names.
-- @table Revocation
-- @tfield[opt] string token a whole token
-- @tfield[opt] string token_sha256 its SHA-256, 64 hexadecimal digits; the 12 of the log are too few
-- @tfield[opt] string jti the id of a token
-- @tfield[opt] string sub a user: all tokens that were issued until `before`
-- @tfield[opt] string sid a session
-- @tfield[opt] string target a desktop
-- @tfield[opt] string kid the id of a signing key
-- @tfield[opt] string iss limits `jti`, `sub` and `sid` to tokens of one issuer
-- @tfield[opt] integer before revokes what was issued in this second or before; for `sub` now by default
-- @tfield[opt] integer ends when the revocation ends, in seconds since 1970; with `token` its `exp` by default
-- @tfield[opt] string by who revokes, for the list

-- Returns a checked record with its author.
local function signed(record, by)
    local decoded = cjson.decode(record)
    decoded.by = by
    return cjson.encode(decoded)
end

--- Revokes.
-- @tparam Revocation|string revocation a table, or its JSON
-- @tparam[opt] string by who revokes, in place of the revocation's own `by`; at most 256 bytes
-- @treturn[1] integer the number of the revocation, for `withdraw()`
-- @treturn[1] Revocation what is revoked
-- @treturn[2] nil
-- @treturn[2] string what is wrong with the revocation, or `no memory` if the dictionary is full
function _M.revoke(revocation, by)
    local json = type(revocation) == "table" and cjson.encode(revocation) or revocation
    if type(json) ~= "string" then
        return nil, "a revocation is a table or JSON"
    end
    local record, ends_or_error = get_records():parse(json)
    if not record then
        return nil, ends_or_error
    elseif by then
        record, ends_or_error = records:parse(signed(record, by))
        if not record then
            return nil, ends_or_error
        end
    end
    local number = records:add(record, ends_or_error)
    if not number then
        ngx.log(ngx.ERR, "route_native.revocation: the dictionary is full, and a revocation was refused")
        return nil, "no memory"
    end
    return number, cjson.decode(record)
end

--- Ends the open connections of a session that its store has forgotten, as a logout does. Beyond 10,000 in a minute,
-- the connections of further sessions run to their end.
-- @tparam string id the session's id
-- @tparam[opt="sid"] string name the name by which the sessions are known: `sid` or `jti`
function _M.end_session(id, name)
    if records and records:count_logout() then
        _M.revoke { [name or "sid"] = id, ends = ngx.time() + SESSION_SECONDS }
    end
end

--- Withdraws a revocation.
-- @tparam integer number the result of `revoke()`
-- @treturn boolean|nil whether there was one; `nil` if the dictionary is full
function _M.withdraw(number)
    return get_records():withdraw(number)
end

--- Lists revocations, the newest first.
-- @tparam[opt] integer below only those with a smaller number
-- @tparam[opt=100] integer limit the most to list, 1 to 1000
-- @treturn table[] each a `Revocation` with its number as `id`; `token` is `token_sha256`
-- @treturn integer|nil the number to continue below, if there may be more
function _M.list(below, limit)
    local first, last = get_records():bounds()
    local number, list = math.min(last, (below or last + 1) - 1), {}
    limit = math.max(math.min(limit or 100, 1000), 1)
    -- Entries that have ended leave gaps. A call looks at a bounded number of them.
    local stop = math.max(first, number - 10 * limit)
    while number >= stop and #list < limit do
        local entry = records:get(number)
        local decoded = entry and cjson.decode(entry)
        if decoded then
            decoded.id = number
            list[#list + 1] = decoded
        end
        number = number - 1
    end
    return list, number >= first and number + 1 or nil
end

--- Counts the revocations of this worker.
-- @treturn integer how many have not ended
function _M.count()
    return tonumber(library.rn_revocations_count())
end

metrics.collect(function(tell)
    tell(_M.count(), "revocations")
    tell(_M.age and _M.age() or 0, "revocations_age_seconds")
end)

return _M
