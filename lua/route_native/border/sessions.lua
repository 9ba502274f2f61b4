-- Loads, changes and ends sessions: the cookie holds a signed id, and the store the record.

local record = require "route_native.border.record"
local revocation = require "route_native.revocation"
local revoked = require "route_native.core.revoked"
local session_id = require "route_native.border.session_id"
local statuses = require "route_native.core.status"

local max, min = math.max, math.min
local concat = table.concat

-- Several requests may change one session at once. Each tries again when another was first.
local MAX_SWAPS = 10

local _M = {}
local sessions = {}
sessions.__index = sessions

function _M.new(border)
    return setmetatable({ border = border, settings = border.settings, prefix = border.prefix }, sessions)
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
    local ring, is_outdated = self.border.keys:ring()
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
    for _, id in ipairs(self.border.cookies:sessions()) do
        session, reason = load(self, id)
        if session or reason == "unavailable" then
            break
        end
    end
    return session, reason
end

-- Reads the record of a session again. Returns nil, or "expired" if the session has ended, or "unavailable".
function sessions:reload(session)
    local text, err = self.border.store:get(session.key)
    if err then
        self.border:store_failed("reading a session", err)
        return "unavailable"
    elseif not text then
        return "expired"
    end
    local decoded = record.decode(text)
    if not decoded then
        ngx.log(ngx.ERR, "route_native: border: a session in the store is not the JSON that it should be")
        return "expired"
    end
    session.text, session.record = text, decoded
    return nil
end

-- Extends the idle timeout of a session. A failure is logged, but does not refuse the request.
function sessions:extend(session)
    local _, err = self.border.store:touch(session.key, seconds_left(self, session.age))
    if err then
        self.border:store_failed("extending a session", err)
    end
end

-- Stores a service token in the session. A `token` of nil removes the token, if that is still `refused`. Returns nil on
-- success, or "expired" if the session has ended meanwhile, or "unavailable".
function sessions:set_token(session, service, token, refused)
    for _ = 1, MAX_SWAPS do
        local tokens = session.record.service_tokens
        if token == nil and tokens[service] ~= refused then
            return nil
        end
        tokens[service] = token
        local text = record.encode(session.record)
        local swapped, err = self.border.store:swap(session.key, session.text, text, seconds_left(self, session.age))
        if swapped then
            session.text = text
            return nil
        elseif err then
            self.border:store_failed("writing a session", err)
            return "unavailable"
        end
        local reason = self:reload(session)
        if reason then
            return reason
        end
    end
    self.border:store_failed("writing a session", "too many writers")
    return "unavailable"
end

-- Appends a session to the list of its account, and ends the oldest ones beyond `sessions_per_account`: one account
-- must not fill the store. The list also holds sessions that have ended since. Returns false if the store fails.
local function list(self, account, key)
    local store, list_key = self.border.store, self.prefix .. "account:" .. account
    for _ = 1, MAX_SWAPS do
        local old, err = store:get(list_key)
        local keys = {}
        for one in (old or ""):gmatch("[^\n]+") do
            keys[#keys + 1] = one
        end
        keys[#keys + 1] = key
        local first = max(#keys - self.settings.sessions_per_account, 0) + 1
        local text, is_written = concat(keys, "\n", first), false
        if not err and old then
            is_written, err = store:swap(list_key, old, text, self.settings.absolute_timeout)
        elseif not err then
            is_written, err = store:add(list_key, text, self.settings.absolute_timeout)
        end
        if is_written then
            for i = 1, first - 1 do
                store:delete(keys[i])
            end
            return true
        elseif err then
            self.border:store_failed("listing a session", err)
            return false
        end
    end
    self.border:store_failed("listing a session", "too many writers")
    return false
end

-- Begins a session with a record. `account` identifies whose it is. Returns its id, or nil on failure.
function sessions:create(new_record, account)
    local ring = self.border.keys:ring()
    local id = ring and session_id.new_id(ring, ngx.time())
    if not id then
        return nil
    end
    new_record.identity = revoked.identity {
        account = account, sid = session_id.digest(id), issued_at = ngx.time(),
        expires_at = ngx.time() + self.settings.absolute_timeout,
    }
    local done, err = self.border.store:add(key_of(self, id), record.encode(new_record), seconds_left(self, 0))
    if not done then
        self.border:store_failed("beginning a session", err or "the id is taken")
        return nil
    elseif not list(self, account, key_of(self, id)) then
        self.border.store:delete(key_of(self, id))
        return nil
    end
    return id
end

-- Ends the open connections of a session that has ended, on all workers. Anybody can send an id that nobody signed.
local function end_connections(self, id)
    if check(self, id) then
        revocation.end_session(session_id.digest(id))
    end
end

-- Ends the sessions of the request, even if the signature of an id is invalid. Returns false if the store fails.
function sessions:destroy()
    for _, id in ipairs(self.border.cookies:sessions()) do
        local done, err = true, nil
        if #id == session_id.ID_BYTES then
            done, err = self.border.store:delete(key_of(self, id))
            end_connections(self, id)
        end
        if not done then
            self.border:store_failed("ending a session", err)
            return false
        end
    end
    return true
end

-- Remembers the path of a client without a session until its login. The path is signed and stored in the client's own
-- cookie, because anybody can make a first visit and could fill a store. The last visit replaces earlier ones. Returns
-- false if there is no key to sign with.
function sessions:remember_visit(path)
    local cookies, seconds = self.border.cookies, self.settings.login_timeout
    if path == self.settings.default_path then
        -- A login without the cookie leads to this path anyway.
        if cookies:logins()[1] then
            cookies:clear_login()
        end
        return true
    end
    local ring = self.border.keys:ring()
    local page = ring and session_id.sign_page(ring, path, ngx.time())
    if not page then
        return false
    end
    cookies:set_login(page, seconds)
    return true
end

-- Returns the path of the visit before the login, or nil.
function sessions:visited_path()
    for _, page in ipairs(self.border.cookies:logins()) do
        local ring = self.border.keys:ring()
        local path = ring and session_id.check_page(ring, page, ngx.time(), self.settings.login_timeout)
        if path and session_id.is_local_path(path) then
            return path
        end
    end
    return nil
end

return _M
