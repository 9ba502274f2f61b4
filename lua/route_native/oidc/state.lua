-- The logins under way. Each has a cookie of its own, which holds what the callback needs: the browser that began a
-- login is the only one that can finish it, and anybody who begins logins fills no store. The ring of the session ids
-- signs it. A state is used once: the store remembers those that came back.

local cjson = require "cjson.safe"
local base64 = require "ngx.base64"
local random = require "route_native.core.random"
local session_id = require "route_native.session.id"

local ngx = ngx

-- The random bytes of state, nonce and code verifier: 43 characters each (RFC 7636 §4.1).
local RANDOM_BYTES, TEXT_BYTES = 32, 43
-- So many characters of the state name its cookie.
local KEY_BYTES = 16
-- A browser may have so many logins under way when one more begins.
local MAX_LOGINS = 6
-- Longer paths and URLs do not fit into the cookie; such a login leads to the default path.
local MAX_PATH_BYTES = 1400

local _M = {}

-- The login may come back by a form of another site, which needs another kind of cookie.
local function same_site_of(provider)
    return provider.settings.response_mode == "form_post" and "None" or nil
end

-- Returns the record of a cookie's value, or nil.
local function read(gate, value)
    local ring = gate.keys:ring()
    local text = ring and session_id.check_page(ring, value, ngx.time(), gate.settings.login_timeout)
    return text and cjson.decode(text) or nil
end

-- Removes the oldest logins of a browser with too many, so that its Cookie header stays short.
local function prune(gate)
    local keys = gate.cookies:login_keys()
    if #keys < MAX_LOGINS then
        return
    end
    local began = {}
    for _, key in ipairs(keys) do
        local value = gate.cookies:login_of(key)[1]
        local record = value and read(gate, value)
        began[#began + 1] = { key = key, at = record and record.t or 0 }
    end
    table.sort(began, function(one, other) return one.at > other.at end)
    for i = MAX_LOGINS, #began do
        gate.cookies:clear_login_of(began[i].key)
    end
end

-- Begins a login that leads to a path. `wanted` holds acr, a list, and max_age. Returns the login { s = state, n =
-- nonce, v = verifier, c = challenge }, or nil if there is no key to sign with.
function _M.begin(gate, provider, path, wanted)
    local ring = gate.keys:ring()
    local login = {
        s = random.text(RANDOM_BYTES), n = random.text(RANDOM_BYTES), v = random.text(RANDOM_BYTES),
        p = provider.name, r = #path <= MAX_PATH_BYTES and path or gate.settings.default_path, t = ngx.time(),
        a = wanted.acr, m = wanted.max_age, u = gate:redirect_uri(),
    }
    local signed = ring and session_id.sign_page(ring, cjson.encode(login), ngx.time())
    if not signed then
        return nil
    end
    prune(gate)
    gate.cookies:set_login_of(login.s:sub(1, KEY_BYTES), signed, gate.settings.login_timeout, same_site_of(provider))
    login.c = base64.encode_base64url(random.digest(login.v))
    return login
end

-- Returns the login of a state that came back, and marks it as used. Returns nil and "stale" if this browser has no
-- such login, or "unavailable" if the store fails.
function _M.take(gate, state)
    if type(state) ~= "string" or #state ~= TEXT_BYTES or state:find("[^%w_-]") then
        return nil, "stale"
    end
    local key, login = state:sub(1, KEY_BYTES), nil
    for _, value in ipairs(gate.cookies:login_of(key)) do
        local record = read(gate, value)
        if record and random.is_equal(record.s, state) then
            login = record
        end
    end
    if not login or not gate.providers[login.p] then
        return nil, "stale"
    end
    gate.cookies:clear_login_of(key, same_site_of(gate.providers[login.p]))
    local mark = gate.prefix .. "state:" .. session_id.digest(state)
    local added, err = gate.store:add(mark, "1", gate.settings.login_timeout)
    if added then
        return login
    elseif err then
        gate:store_failed("using a state", err)
        return nil, "unavailable"
    end
    return nil, "stale"
end

return _M
