-- What the border adds to sessions (session/sessions.lua): service tokens, and the path of the visit before a login.

local session_id = require "route_native.session.id"
local shared = require "route_native.session.sessions"

local _M = {}

local sessions = {}

-- Returns the sessions of a border.
function _M.new(border)
    local base = shared.new(border)
    for name, value in pairs(sessions) do
        base[name] = value
    end
    return base
end

-- Stores a service token in the session. A `token` of nil removes the token, if that is still `refused`. Returns what
-- sessions:change() returns.
function sessions:set_token(session, service, token, refused)
    return self:change(session, function(record)
        if token == nil and record.service_tokens[service] ~= refused then
            return false
        end
        record.service_tokens[service] = token
    end)
end

-- Remembers the path of a client without a session until its login. The path is signed and stored in the client's own
-- cookie, because anybody can make a first visit and could fill a store. The last visit replaces earlier ones. Returns
-- false if there is no key to sign with.
function sessions:remember_visit(path)
    local cookies, seconds = self.owner.cookies, self.settings.login_timeout
    if path == self.settings.default_path then
        -- A login without the cookie leads to this path anyway.
        if cookies:logins()[1] then
            cookies:clear_login()
        end
        return true
    end
    local ring = self.owner.keys:ring()
    local page = ring and session_id.sign_page(ring, path, ngx.time())
    if not page then
        return false
    end
    cookies:set_login(page, seconds)
    return true
end

-- Returns the path of the visit before the login, or nil.
function sessions:visited_path()
    for _, page in ipairs(self.owner.cookies:logins()) do
        local ring = self.owner.keys:ring()
        local path = ring and session_id.check_page(ring, page, ngx.time(), self.settings.login_timeout)
        if path and session_id.is_local_path(path) then
            return path
        end
    end
    return nil
end

return _M
