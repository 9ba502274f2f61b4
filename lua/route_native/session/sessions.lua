-- Loads, changes and ends sessions: the cookie holds a signed id, and the store the record. Border sessions and OpenID
-- Connect share this, each with an owner:
--
--     owner.store, owner.prefix       where the sessions are
--     owner.settings                  idle_timeout, absolute_timeout, sessions_per_account
--     owner.cookies, owner.keys       the jar with the ids, and the ring that signs them
--     owner.record                    decode(text), which may return a record that others use too, fresh(text), which
--                                     does not, and encode(record): the form of its records
--     owner.session_name              the name by which a session's id is in its identity: "sid" or "jti"
--     owner:store_failed(what, err)   logs a failure of the store

local revocation = require "route_native.revocation"
local revoked = require "route_native.core.revoked"
local session_id = require "route_native.session.id"
local statuses = require "route_native.core.status"

local max, min = math.max, math.min
local concat = table.concat

-- Several requests may change one session at once. Each tries again when another was first.
local MAX_SWAPS = 10

local _M = {}
local sessions = {}
sessions.__index = sessions

function _M.new(owner)
    return setmetatable({ owner = owner, settings = owner.settings, prefix = owner.prefix }, sessions)
end

-- Returns the store's key of a session. It is a digest, so that a reader of the store learns no usable id.
local function key_of(self, id)
    return self.prefix .. "session:" .. session_id.digest(id)
end

-- Returns for how many seconds the store keeps a session: the idle timeout, up to the absolute one.
local function seconds_left(self, age)
    return min(self.settings.idle_timeout, self.settings.absolute_timeout - age)
end

-- Checks an id's signature and age. Returns the age, or nil and "expired" or "unavailable".
local function check(self, id)
    local ring, is_outdated = self.owner.keys:ring()
    if not ring then
        return nil, "unavailable"
    end
    local age = session_id.check_id(ring, id, ngx.time(), self.settings.absolute_timeout)
    if age then
        return age
    end
    -- Another instance may have signed the id with a newer key, which the store cannot return now.
    return nil, is_outdated and "unavailable" or "expired"
end

-- Returns nil, or "revoked" if the session is revoked, or "unavailable" if nobody knows. A session of an older release
-- has no identity but its own id.
local function revocation_of(session)
    local identity = session.record.identity or revoked.identity { sid = session_id.digest(session.id) }
    local status = revoked.check { identity = identity }
    if status == statuses.OK then
        return nil
    end
    return status == statuses.TOKEN_REVOKED and "revoked" or "unavailable"
end

-- Returns the session of an id, or nil and "expired", "revoked" or "unavailable".
local function load(self, id)
    if #id ~= session_id.ID_BYTES then
        return nil, "expired"
    end
    local age, reason = check(self, id)
    if not age then
        return nil, reason
    end
    local session = { id = id, key = key_of(self, id), age = age }
    reason = self:reload(session) or revocation_of(session)
    if reason then
        return nil, reason
    end
    return session
end

-- Returns the session of the request, { id, key, age, text, record }, or nil and "missing", "expired", "revoked" or
-- "unavailable". It is the first of the ids that has one.
function sessions:load()
    revoked.prepare()
    local session, reason = nil, "missing"
    for _, id in ipairs(self.owner.cookies:sessions()) do
        session, reason = load(self, id)
        if session or reason == "unavailable" then
            break
        end
    end
    return session, reason
end

-- Reads the record of a session again. Returns nil, or "expired" if the session has ended, or "unavailable".
function sessions:reload(session)
    local text, err = self.owner.store:get(session.key)
    if err then
        self.owner:store_failed("reading a session", err)
        return "unavailable"
    elseif not text then
        return "expired"
    end
    local decoded = self.owner.record.decode(text)
    if not decoded then
        ngx.log(ngx.ERR, "route_native: a session in the ", self.owner.store.name,
            " store is not the JSON that it should be")
        return "expired"
    end
    session.text, session.record = text, decoded
    return nil
end

-- Extends the idle timeout of a session. A failure is logged, but does not refuse the request.
function sessions:extend(session)
    local _, err = self.owner.store:touch(session.key, seconds_left(self, session.age))
    if err then
        self.owner:store_failed("extending a session", err)
    end
end

-- Changes the record of a session by change(record), which returns false to leave it as it is. It runs again with the
-- newest record when another request was first. Returns nil on success, or "expired" if the session has ended
-- meanwhile, or "unavailable".
function sessions:change(session, change)
    for _ = 1, MAX_SWAPS do
        session.record = self.owner.record.fresh(session.text)
        if change(session.record) == false then
            return nil
        end
        local text = self.owner.record.encode(session.record)
        local swapped, err = self.owner.store:swap(session.key, session.text, text, seconds_left(self, session.age))
        if swapped then
            session.text = text
            return nil
        elseif err then
            self.owner:store_failed("writing a session", err)
            return "unavailable"
        end
        local reason = self:reload(session)
        if reason then
            return reason
        end
    end
    self.owner:store_failed("writing a session", "too many writers")
    return "unavailable"
end

local function list_key(self, name)
    return self.prefix .. "account:" .. name
end

-- Appends a session to a list, such as that of its account, and ends the oldest ones beyond `sessions_per_account`: one
-- account must not fill the store. The list also holds sessions that have ended since. Returns false if the store
-- fails.
local function list(self, name, key)
    local store, at = self.owner.store, list_key(self, name)
    for _ = 1, MAX_SWAPS do
        local old, err = store:get(at)
        local keys = {}
        for one in (old or ""):gmatch("[^\n]+") do
            keys[#keys + 1] = one
        end
        keys[#keys + 1] = key
        local first = max(#keys - self.settings.sessions_per_account, 0) + 1
        local text, is_written = concat(keys, "\n", first), false
        if not err and old then
            is_written, err = store:swap(at, old, text, self.settings.absolute_timeout)
        elseif not err then
            is_written, err = store:add(at, text, self.settings.absolute_timeout)
        end
        if is_written then
            for i = 1, first - 1 do
                store:delete(keys[i])
            end
            return true
        elseif err then
            self.owner:store_failed("listing a session", err)
            return false
        end
    end
    self.owner:store_failed("listing a session", "too many writers")
    return false
end

-- Begins a session with a record. `lists` names the lists that it is in, such as that of its account. `names` is what
-- it can be revoked by, besides its id. Returns its id, or nil on failure.
function sessions:create(new_record, lists, names)
    local ring = self.owner.keys:ring()
    local id = ring and session_id.new_id(ring, ngx.time())
    if not id then
        return nil
    end
    names[self.owner.session_name] = session_id.digest(id)
    names.issued_at, names.expires_at = ngx.time(), ngx.time() + self.settings.absolute_timeout
    new_record.identity = revoked.identity(names)
    local key = key_of(self, id)
    local done, err = self.owner.store:add(key, self.owner.record.encode(new_record), seconds_left(self, 0))
    if not done then
        self.owner:store_failed("beginning a session", err or "the id is taken")
        return nil
    end
    for _, name in ipairs(lists) do
        if not list(self, name, key) then
            self.owner.store:delete(key)
            return nil
        end
    end
    return id
end

-- Ends the open connections of a session that has ended, on all workers. Anybody can send an id that nobody signed.
local function end_connections(self, id)
    if check(self, id) then
        revocation.end_session(session_id.digest(id), self.owner.session_name)
    end
end

-- Ends the session of an id, even if its signature is invalid. Returns false if the store fails.
function sessions:destroy_id(id)
    if #id ~= session_id.ID_BYTES then
        return true
    end
    local done, err = self.owner.store:delete(key_of(self, id))
    end_connections(self, id)
    if not done then
        self.owner:store_failed("ending a session", err)
    end
    return done == true
end

-- Ends the sessions of the request. Returns false if the store fails.
function sessions:destroy()
    for _, id in ipairs(self.owner.cookies:sessions()) do
        if not self:destroy_id(id) then
            return false
        end
    end
    return true
end

-- Ends all sessions of a list. Their connections end by a revocation, which is the caller's. Returns how many there
-- were in the list, or nil if the store fails.
function sessions:destroy_list(name)
    local store, at, count = self.owner.store, list_key(self, name), 0
    local keys, err = store:get(at)
    for key in (keys or ""):gmatch("[^\n]+") do
        local done
        done, err = store:delete(key)
        if not done then
            break
        end
        count = count + 1
    end
    if err then
        self.owner:store_failed("ending the sessions of a list", err)
        return nil
    end
    store:delete(at)
    return count
end

return _M
