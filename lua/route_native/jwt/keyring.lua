-- Keys and their handles in the library. They come from texts that are parsed once, from files that are read again when
-- they change, or from a source such as jwks.lua.

local ffi = require "ffi"
local handles = require "route_native.core.handle"
local library = require "route_native.core.ffi"
local notes = require "route_native.core.notes"
local parsed_strings = require "route_native.jwt.parsed"
local statuses = require "route_native.core.status"

local ngx = ngx
local time = ngx and ngx.time or os.time
local OK = statuses.OK

local KEY, SECRET, SECRETS = library.RN_KEY_FORM_KEY, library.RN_KEY_FORM_SECRET, library.RN_KEY_FORM_SECRETS
local PUBLISHED, PUBLIC = library.RN_KEY_FORM_PUBLISHED, library.RN_KEY_FORM_PUBLIC

-- Shared by all requests: it is written and read without a yield in between.
local changed = ffi.new("uint32_t[1]")

local keys = {}
keys.__index = keys

local _M = {
    KEY = KEY, SHORT_SECRET = library.RN_KEY_FORM_SHORT_SECRET,
}

-- Parses a list of { form, text }. Returns keys, or nil and an error. `source` names where they are from, for notes.
local function from_texts(list, source)
    local array = ffi.new("rn_key_text[?]", #list)
    for i, item in ipairs(list) do
        array[i - 1] = { item.form, item.text, #item.text }
    end
    local handle, message = handles.new("rn_keys", function(...) return library.rn_keys_new(array, #list, ...) end)
    if not handle then
        return nil, "the key " .. message
    end
    notes.log("route_native.jwt: " .. (source and source .. ": " or ""), message)
    return setmetatable({ handle = handle, list = list }, keys)
end

-- Parses a list as from_texts() does, but raises the error.
local function new_keys(list, level)
    local parsed, err = from_texts(list)
    return parsed or error("route_native.jwt: " .. err, level + 1)
end

-- Returns the value if it is a string. Raises an error about the function `name` otherwise.
local function text_of(value, name, level)
    if type(value) ~= "string" then
        error(("route_native.jwt: %s takes a string, and was given a %s"):format(name, type(value)), level + 1)
    end
    return value
end

-- Parses one key: a public key, private key or certificate in PEM, a JWK, or a JWK Set.
function _M.key(text)
    return new_keys({ { form = KEY, text = text_of(text, "key()", 2) } }, 2)
end

-- Takes every byte of a string of 32 bytes or more as one HMAC secret. The library refuses key material in any
-- encoding, because everybody has a public key.
function _M.secret(text)
    return new_keys({ { form = SECRET, text = text_of(text, "secret()", 2) } }, 2)
end

-- Returns whether a text looks like PEM or JSON.
function _M.looks_like_key(text)
    return text:find("-----BEGIN ", 1, true) ~= nil or text:find("^%s*{") ~= nil
end

-- Guesses the form of a string: text that looks like a key is one, other text is a secret. A secret that looks like a
-- key needs secret().
local function guess(text)
    return { form = _M.looks_like_key(text) and KEY or SECRET, text = text }
end

-- Joins several keys, for secrets in rotation. The first that can sign signs, and each verifies.
function _M.keys(list)
    if type(list) ~= "table" or #list == 0 then
        error("route_native.jwt: keys() takes a list of keys", 2)
    end
    local all = {}
    for _, item in ipairs(list) do
        if type(item) == "string" then
            all[#all + 1] = guess(item)
        elseif getmetatable(item) == keys and item.list then
            for _, text in ipairs(item.list) do
                all[#all + 1] = text
            end
        else
            error("route_native.jwt: keys() takes strings and what key() and secret() return, and no files", 2)
        end
    end
    return new_keys(all, 2)
end

-- The keys of each form and path.
local files = {}

-- Opens a key file for an owner, such as "route_native.jwt", which its messages begin with. Returns the keys, or nil,
-- an error and the status.
local function open_file(form, path, owner)
    local id = form .. path
    if files[id] then
        return files[id]
    end
    local handle, message, status = handles.new("rn_keys", function(...)
        return library.rn_keys_open(form, path, #path, ...)
    end)
    if not handle then
        return nil, message, status
    end
    local prefix = owner .. ": the key file " .. path .. ": "
    notes.log(prefix, message)
    files[id] = setmetatable({
        handle = handle, is_file = true, is_public = form == PUBLIC, owner = owner, prefix = prefix, checked = time(),
    }, keys)
    return files[id]
end

-- Opens a key file. `name` is the public function, for errors.
local function open(form, path, name)
    text_of(path, name, 3)
    local opened, err = open_file(form, path, "route_native.jwt")
    return opened or error("route_native.jwt: " .. err, 3)
end

-- Opens a file of which only public keys are used. Returns the keys, or nil, an error and the status.
function _M.public_file(path, owner)
    return open_file(PUBLIC, path, owner)
end

-- Opens a file with PEM, a JWK or a JWK Set. The same path returns the same keys, and a changed file is read again.
-- Call it in init_by_lua, while the master may still read files that the workers may not.
function _M.key_file(path)
    return open(KEY, path, "key_file()")
end

-- Opens a file with one secret a line. The first signs, and each verifies.
function _M.secret_file(path)
    return open(SECRETS, path, "secret_file()")
end

local function log(self, level, message)
    if ngx then
        ngx.log(ngx[level], self.owner, ": ", message)
    end
end

-- Reads the file again if it has changed, at most once a second. A file that does not parse is logged once, and the old
-- keys stay.
local function refresh(self)
    local now = time()
    if now == self.checked then
        return
    end
    self.checked = now
    local status, message = handles.call(function(...) return library.rn_keys_refresh(self.handle, changed, ...) end)
    local err = status ~= OK and message or nil
    if err and err ~= self.last_error then
        -- Workers may not be able to read a public key that the master has read as root. A reload reads it then.
        local level = self.is_public and status == statuses.KEY_UNREADABLE and "NOTICE" or "ERR"
        log(self, level, err .. "; the keys read before stay in use")
    elseif status == OK and changed[0] == 1 then
        log(self, "NOTICE", "changed keys were read")
        notes.log(self.prefix, message)
    end
    self.last_error = err
end

-- Returns the handle of the current keys. Keys of a source may return nil and the status instead.
function keys:current()
    if self.source then
        return self.source:current()
    elseif self.is_file then
        refresh(self)
    end
    return self.handle
end

-- Returns keys that `source` provides. It has current(), and refresh() for a `kid` that no current key has.
function _M.of_source(source)
    return setmetatable({ source = source }, keys)
end

-- Returns the public keys of a JWK Set that the server at a URL publishes, or nil and an error if it has none.
function _M.published(text, url)
    local parsed, err = from_texts({ { form = PUBLISHED, text = text } }, "the JWK Set at " .. url)
    if not parsed then
        return nil, (err:gsub("^the key", "it"))
    end
    return parsed
end

-- Returns the keys of a string in one form, parsed once, or nil and an error.
_M.of_text = parsed_strings.once(function(form, text)
    return from_texts { { form = form, text = text } }
end)

-- Returns the keys of an argument, which is keys already or a string.
function _M.of(value, level)
    if getmetatable(value) == keys then
        return value
    elseif type(value) ~= "string" then
        error("route_native.jwt: a key is a string, or what key(), secret(), keys(), key_file(), secret_file() or "
            .. "jwks() returns", (level or 1) + 1)
    end
    local item = guess(value)
    local parsed, err = _M.of_text(item.form, value)
    return parsed or error("route_native.jwt: " .. err, (level or 1) + 1)
end

-- Returns the key of the first certificate of `chain` if one in `trusted` has issued it. Returns nil, an error and the
-- status otherwise.
function _M.of_chain(trusted, chain)
    local array = ffi.new("rn_key_text[?]", #chain)
    for i, text in ipairs(chain) do
        array[i - 1] = { 0, text, #text }
    end
    local handle, err, status = handles.new("rn_keys", function(...)
        return library.rn_keys_from_chain(trusted, #trusted, array, #chain, time(), ...)
    end)
    if not handle then
        return nil, err, status
    end
    return setmetatable({ handle = handle }, keys)
end

-- Checks that some key verifies an algorithm that a policy allows. Returns true, or false and an error. Keys of a
-- source may change, and are not known yet.
function _M.fits(self, policy)
    if self.source then
        return true
    end
    local current = self:current()
    local status, err = handles.call(function(...) return library.rn_policy_check_keys(policy, current, ...) end)
    if status == statuses.SETTING_INVALID then
        return false, err
    end
    return true
end

-- Returns whether a value is keys.
function _M.is(value)
    return getmetatable(value) == keys
end

return _M
