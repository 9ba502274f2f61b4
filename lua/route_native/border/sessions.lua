-- Sessions: from the cookie's signed id to the record in the store, and back.

local record = require "route_native.border.record"
local session = require "route_native.border.session_id"

local min = math.min

-- Several requests may add tokens to one session at once; each tries again when another came first.
local MAX_SWAPS = 10

local _M = {}
local sessions = {}
sessions.__index = sessions

function _M.new(border)
    return setmetatable({ border = border, settings = border.settings, prefix = border.prefix }, sessions)
end

-- Where a session is kept: under the digest of its id, so that who reads the store cannot use what is in it.
local function key_of(self, id)
    return self.prefix .. "session:" .. session.digest(id)
end

-- Seconds that the store is to keep a session of that age: rolling, up to the absolute limit.
local function seconds_left(self, age)
    return min(self.settings.idle_timeout, self.settings.absolute_timeout - age)
end

-- Checks an id's signature and age. Returns the age, or nil and "expired" or "unavailable".
local function check(self, id)
    local ring, may_be_old = self.border.keys:ring()
    if not ring then
        return nil, "unavailable"
    end
    local age = session.check_id(ring, id, ngx.time(), self.settings.absolute_timeout)
    if age then
        return age
    end
    -- Another instance may have signed it with a key that the store cannot tell us now.
    return nil, may_be_old and "unavailable" or "expired"
end

-- The session of the request: { id, key, age, text, record }. nil and "missing", "expired" or "unavailable" otherwise.
function sessions:load()
    local id = self.border.cookies:session()
    if not id or id == "" then
        return nil, "missing"
    elseif #id ~= session.ID_BYTES then
        return nil, "expired"
    end
    local age, why = check(self, id)
    if not age then
        return nil, why
    end
    local loaded = { id = id, key = key_of(self, id), age = age }
    why = self:reload(loaded)
    if why then
        return nil, why
    end
    return loaded
end

-- Reads the record of a session anew. Returns nil, or "expired" when it has ended, or "unavailable".
function sessions:reload(loaded)
    local text, err = self.border.store:get(loaded.key)
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
    loaded.text, loaded.record = text, decoded
    return nil
end

-- Lets the session live on. That it cannot be extended now is no reason to refuse the request.
function sessions:extend(loaded)
    local _, err = self.border.store:touch(loaded.key, seconds_left(self, loaded.age))
    if err then
        self.border:store_failed("extending a session", err)
    end
end

-- Puts a service token into the session, or takes it out (nil, when it is still `refused`). Returns nil when that is
-- stored, or "expired" when the session has ended meanwhile, or "unavailable".
function sessions:set_token(loaded, service, token, refused)
    for _ = 1, MAX_SWAPS do
        local tokens = loaded.record.service_tokens
        if token == nil and tokens[service] ~= refused then
            return nil
        end
        tokens[service] = token
        local text = record.encode(loaded.record)
        local swapped, err = self.border.store:swap(loaded.key, loaded.text, text, seconds_left(self, loaded.age))
        if swapped then
            loaded.text = text
            return nil
        elseif err then
            self.border:store_failed("writing a session", err)
            return "unavailable"
        end
        local why = self:reload(loaded)
        if why then
            return why
        end
    end
    self.border:store_failed("writing a session", "too many writers")
    return "unavailable"
end

-- Begins a session. Returns its id, or nil when the store does not take it.
function sessions:create(new)
    local ring = self.border.keys:ring()
    local id = ring and session.new_id(ring, ngx.time())
    if not id then
        return nil
    end
    local done, err = self.border.store:add(key_of(self, id), record.encode(new), seconds_left(self, 0))
    if not done then
        self.border:store_failed("beginning a session", err or "the id is taken")
        return nil
    end
    return id
end

-- Ends the session of the request, whatever its id is worth otherwise. Returns false when the store does not answer.
function sessions:destroy()
    local id = self.border.cookies:session()
    if not id or #id ~= session.ID_BYTES then
        return true
    end
    local done, err = self.border.store:delete(key_of(self, id))
    if not done then
        self.border:store_failed("ending a session", err)
        return false
    end
    return true
end

-- Keeps the path that a client without a session asked for, until it has logged in: signed, in the client's own cookie,
-- because anybody may make a first visit. The last one is kept. Returns false when there are no keys to sign with.
function sessions:remember_visit(path)
    local cookies, seconds = self.border.cookies, self.settings.login_timeout
    if path == self.settings.default_path then
        -- That is where a login without the cookie leads.
        if cookies:login() then
            cookies:clear_login()
        end
        return true
    end
    local ring = self.border.keys:ring()
    local page = ring and session.sign_page(ring, path, ngx.time())
    if not page then
        return false
    end
    cookies:set_login(page, seconds)
    return true
end

-- The path that was asked for before the login, or nil.
function sessions:visited_path()
    local page = self.border.cookies:login()
    local ring = page and self.border.keys:ring()
    local path = ring and session.check_page(ring, page, ngx.time(), self.settings.login_timeout)
    return path and session.is_local_path(path) and path or nil
end

return _M
