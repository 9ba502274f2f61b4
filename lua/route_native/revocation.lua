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
local nodes_of = require "route_native.control.nodes"
local ready = require "route_native.core.ready"
local records_of = require "route_native.control.records"
local revoked = require "route_native.core.revoked"

local ngx = ngx

local OWNER = "route_native.revocation: setup()"
-- The seconds between two looks for news.
local PERIOD = 0.2
-- How long a session that was logged out is revoked: longer than any worker needs to end its connections.
local SESSION_SECONDS = 60
-- How long a request waits for the revocations right after a start, in seconds, and between two looks.
local LOAD_SECONDS, LOAD_PAUSE = 3, 0.02
-- The phases in which a request can wait.
local CAN_WAIT = { rewrite = true, access = true, content = true }

local ROWS = config.rows({
    { "dict", config.text("^[%w_.-]+$", "the name of a lua_shared_dict"), default = "revocations" },
    { "seconds", config.whole(60, 366 * 86400, "seconds"), variable = "ROUTE_REVOCATION_SECONDS",
        default = 30 * 86400 },
}, nodes_of.ROWS)

-- What is revoked, and the other nodes that share it, if there are any.
local records, nodes
-- Whether this worker brings news to its library.
local is_following = false

local _M = {}

--- Configures `setup()`.
-- @table SetupConfig
-- @tfield[opt="revocations"] string dict name of the `lua_shared_dict`; 1m holds some 4,000 revocations
-- @tfield[opt=ROUTE_REVOCATION_SECONDS] integer seconds how long a revocation without an end lasts, 60 to 31622400; the
-- longest life of a token is right; 2592000 by default
-- @tfield[opt=ROUTE_REVOCATION_REDIS] string|string[] redis Redis that other nodes share: `host:port` or `unix:/path`,
-- or servers of a cluster
-- @tfield[opt=ROUTE_REVOCATION_SENTINELS] string|string[] sentinels in place of `redis`: `host:port` of the sentinels
-- @tfield[opt=ROUTE_REVOCATION_MASTER] string master name of the master that they watch
-- @tfield[opt=ROUTE_REVOCATION_REDIS_USER] string redis_user user of Redis
-- @tfield[opt=ROUTE_REVOCATION_REDIS_PASSWORD_FILE] string redis_password_file path of a file with the password
-- @tfield[opt=ROUTE_REVOCATION_SENTINEL_PASSWORD_FILE] string sentinel_password_file the same for the sentinels
-- @tfield[opt=ROUTE_REVOCATION_REDIS_TLS] string redis_tls `on`, or the name in the certificate; `off` by default
-- @tfield[opt=ROUTE_REVOCATION_FAIL] string fail `open` accepts tokens while Redis is away, `closed` refuses them
-- `fail_seconds` after; `open` by default
-- @tfield[opt=ROUTE_REVOCATION_FAIL_SECONDS] integer fail_seconds 2 to 86400; with `open`, how long tokens are refused
-- after a start without Redis; 60 by default

--- Prepares the revocations. Call it in `init_by_lua`. A mistake raises an error, which keeps nginx from starting.
-- @tparam[opt] SetupConfig input the configuration
function _M.setup(input)
    local values, labels = config.read(OWNER, ROWS, input or {})
    local dict = ngx.shared[values.dict]
    if not dict then
        config.fail(OWNER, "lua_shared_dict %s is missing", values.dict)
    end
    records = records_of.new(dict, values.seconds)
    nodes = nodes_of.new(OWNER, values, labels, dict, records)
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
    records:follow(true)
    if nodes then
        nodes:tell()
    end
    if records:take_news() then
        connections.finish_revoked()
    end
    connections.finish_expired()
    if ngx.worker.id() == 0 and not ngx.worker.exiting() then
        records:forget_ended()
    end
end

-- Does the same until the last connection of a worker that is shutting down has ended: it starts no timer any more but
-- one that runs at once.
local function follow_to_the_end()
    if is_following then
        return
    end
    is_following = true
    while connections.count() > 0 do
        follow()
        if nodes then
            ngx.thread.spawn(nodes.lead, nodes)
        end
        ngx.sleep(PERIOD)
    end
    is_following = false
end

-- Reads the news before a request is checked in a worker that is shutting down: its connection was open, and had sent
-- nothing. If the request lasts, the worker follows again.
local function follow_at_exit()
    if not is_following then
        records:follow()
        if nodes then
            nodes:tell()
        end
    end
end

local function begin_to_exit()
    if nodes then
        nodes:resign()
    end
    revoked.before_checks(follow_at_exit)
    connections.on_keep(function()
        if not is_following then
            ngx.timer.at(0, follow_to_the_end)
        end
    end)
    return follow_to_the_end()
end

-- Has a request wait that comes before the revocations are loaded, if its phase can.
local function wait_for_load()
    if not CAN_WAIT[ngx.get_phase()] then
        return
    end
    local stop = ngx.now() + LOAD_SECONDS
    while nodes:is_loading() and ngx.now() < stop do
        ngx.sleep(LOAD_PAUSE)
    end
    -- Another worker may have loaded them: this one does not wait for its timer.
    records:follow(true)
    nodes:tell()
    if not nodes:is_loading() and not ngx.worker.exiting() then
        revoked.before_checks(nil)
    end
end

-- Starts the timers of the other nodes' news.
local function start_nodes()
    nodes:tell()
    if nodes:is_loading() then
        revoked.before_checks(wait_for_load)
    end
    local function lead(premature)
        if not premature and not ngx.worker.exiting() then
            nodes:lead()
        end
    end
    assert(ngx.timer.at(0, lead))
    assert(ngx.timer.every(PERIOD, lead))
end

--- Brings the revocations to this worker, and keeps them current. Call it in `init_worker_by_lua`.
function _M.start()
    if not records then
        _M.setup()
    end
    records:start()
    records:follow()
    if nodes then
        start_nodes()
    end
    assert(ngx.timer.every(PERIOD, function(premature)
        if premature or ngx.worker.exiting() then
            return begin_to_exit()
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

-- Revokes. Returns the id, the record and its end; or nil and an error.
local function revoke(json, by)
    local record, ends_or_error = get_records():parse(json)
    if record and by then
        record, ends_or_error = records:parse(signed(record, by))
    end
    if not record then
        return nil, ends_or_error
    end
    local id = records:add(record, ends_or_error)
    if not id then
        ngx.log(ngx.ERR, "route_native.revocation: the dictionary is full, and a revocation was refused")
        return nil, "no memory"
    end
    return id, record, ends_or_error
end

--- Revokes, on this node at once and on the others within a second.
-- @tparam Revocation|string revocation a table, or its JSON
-- @tparam[opt] string by who revokes, in place of the revocation's own `by`; at most 256 bytes
-- @treturn[1] integer the id of the revocation, for `withdraw()`: random, at most 14 digits
-- @treturn[1] Revocation what is revoked
-- @treturn[2] nil
-- @treturn[2] string what is wrong with the revocation, or `no memory` if the dictionary is full
function _M.revoke(revocation, by)
    local json = type(revocation) == "table" and cjson.encode(revocation) or revocation
    if type(json) ~= "string" then
        return nil, "a revocation is a table or JSON"
    end
    local id, record, ends_at = revoke(json, by)
    if not id then
        return nil, record
    elseif nodes then
        nodes:bring(id, ends_at, record)
    end
    return id, cjson.decode(record)
end

--- Ends the open connections of a session that its store has forgotten, as a logout does. Beyond 10,000 in a minute,
-- the connections of further sessions run to their end.
-- @tparam string id the session's id
-- @tparam[opt="sid"] string name the name by which the sessions are known: `sid` or `jti`
function _M.end_session(id, name)
    if records and records:count_logout() then
        revoke(cjson.encode { [name or "sid"] = id, ends = ngx.time() + SESSION_SECONDS }, records_of.LOGOUT)
    end
end

--- Withdraws a revocation, also one of another node.
-- @tparam integer id the result of `revoke()`
-- @treturn boolean|nil whether there was one; `nil` if the dictionary is full
function _M.withdraw(id)
    local done, ends_at = get_records():withdraw(id)
    if done and nodes then
        nodes:bring(id, ends_at, "-" .. ends_at)
    end
    return done
end

--- Lists revocations, the newest first.
-- @tparam[opt] integer below continues a list: the second result of the call before
-- @tparam[opt=100] integer limit the most to list, 1 to 1000
-- @treturn table[] each a `Revocation` with its `id`; `token` is `token_sha256`
-- @treturn integer|nil where the list continues, if there may be more
function _M.list(below, limit)
    local first, last = get_records():bounds()
    local number, list = math.min(last, (below or last + 1) - 1), {}
    limit = math.max(math.min(limit or 100, 1000), 1)
    -- Entries that have ended leave gaps. A call looks at a bounded number of them.
    local stop = math.max(first, number - 10 * limit)
    while number >= stop and #list < limit do
        local id, json = records:get_entry(number)
        local decoded = id and cjson.decode(json)
        if decoded then
            decoded.id = id
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

--- Returns how old the knowledge of other nodes' revocations is.
-- @treturn number|nil seconds since this node knew all of them, or since its start if it never did; `nil` without Redis
function _M.age()
    return nodes and nodes:age()
end

--- Counts the revocations of other nodes that did not fit into the dictionary.
-- @treturn integer how many, since they were read last
function _M.misfits()
    return nodes and nodes:misfits() or 0
end

metrics.collect(function(tell)
    tell(_M.count(), "revocations")
    tell(_M.age() or 0, "revocations_age_seconds")
end)

return _M
