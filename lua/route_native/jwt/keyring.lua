-- Keys behind their handles: parsed once, read again from their files when those change, or kept by a source of their
-- own (jwks.lua).

local ffi = require "ffi"
local library = require "route_native.core.ffi"
local lrucache = require "resty.lrucache"
local reason = require "route_native.core.status"

local ngx = ngx
local time = ngx and ngx.time or os.time
local OK = reason.OK
local SENTENCE_BYTES = library.RN_ERROR_BYTES
-- Strings that were given as keys are parsed once, as long as they are no more than these.
local MOST_STRINGS = 64

local KEY, SECRET, SECRETS = library.RN_KEY_FORM_KEY, library.RN_KEY_FORM_SECRET, library.RN_KEY_FORM_SECRETS
local PUBLISHED = library.RN_KEY_FORM_PUBLISHED

local sentence = ffi.new("uint8_t[?]", SENTENCE_BYTES)
local length, changed = ffi.new("size_t[1]"), ffi.new("uint32_t[1]")

local keys = {}
keys.__index = keys

local _M = {
    KEY = KEY, SHORT_SECRET = library.RN_KEY_FORM_SHORT_SECRET,
}

local function owned(handle)
    -- The wrapper keeps the library alive as long as the handle.
    return ffi.gc(handle[0], function(made) library.rn_keys_free(made) end)
end

local function from_texts(list)
    local array = ffi.new("rn_key_text[?]", #list)
    for i, item in ipairs(list) do
        array[i - 1] = { item.form, item.text, #item.text }
    end
    local handle = ffi.new("rn_keys *[1]")
    if library.rn_keys_new(array, #list, handle, sentence, SENTENCE_BYTES, length) ~= OK then
        return nil, "the key " .. ffi.string(sentence, length[0])
    end
    return setmetatable({ handle = owned(handle), list = list }, keys)
end

local function made(list, level)
    local ring, message = from_texts(list)
    return ring or error("route_native.jwt: " .. message, level + 1)
end

local function text_of(value, name, level)
    if type(value) ~= "string" then
        error(("route_native.jwt: %s takes a string, and was given a %s"):format(name, type(value)), level + 1)
    end
    return value
end

-- One key: a public or private key or a certificate in PEM, a JWK, or a JWK Set.
function _M.key(text)
    return made({ { form = KEY, text = text_of(text, "key()", 2) } }, 2)
end

-- One HMAC secret of 32 bytes or more, every byte of it. Key material is refused, in whatever wrapping: a public key is
-- no password.
function _M.secret(text)
    return made({ { form = SECRET, text = text_of(text, "secret()", 2) } }, 2)
end

-- What a string is when nothing says it: PEM or JSON by its looks, a secret otherwise. A secret that looks like either
-- is refused here, and secret() says what it is.
local function guessed(text)
    local is_key = text:find("-----BEGIN ", 1, true) or text:match("^%s*{")
    return { form = is_key and KEY or SECRET, text = text }
end

-- Several keys in one: the first that can sign signs, each of them verifies. For secrets in rotation.
function _M.keys(list)
    if type(list) ~= "table" or #list == 0 then
        error("route_native.jwt: keys() takes a list of keys", 2)
    end
    local all = {}
    for _, item in ipairs(list) do
        if type(item) == "string" then
            all[#all + 1] = guessed(item)
        elseif getmetatable(item) == keys and item.list then
            for _, text in ipairs(item.list) do
                all[#all + 1] = text
            end
        else
            error("route_native.jwt: keys() takes strings and what key() and secret() return, and no files", 2)
        end
    end
    return made(all, 2)
end

local files = {}

local function open(form, path, name)
    text_of(path, name, 3)
    local id = form .. path
    if files[id] then
        return files[id]
    end
    local handle = ffi.new("rn_keys *[1]")
    if library.rn_keys_open(form, path, #path, handle, sentence, SENTENCE_BYTES, length) ~= OK then
        error("route_native.jwt: " .. ffi.string(sentence, length[0]), 3)
    end
    files[id] = setmetatable({ handle = owned(handle), is_file = true, checked = time() }, keys)
    return files[id]
end

-- The keys of a file: PEM, a JWK or a JWK Set. The same path gives the same keys, which are read again when they
-- change:
-- call it in init_by_lua, while the master may still read what the workers may not.
function _M.key_file(path)
    return open(KEY, path, "key_file()")
end

-- The secrets of a file, one a line: the first signs, each of them verifies.
function _M.secret_file(path)
    return open(SECRETS, path, "secret_file()")
end

-- Looks at the file again, at most once a second. What does not parse is logged, once, and the old keys stay.
local function log(level, message)
    if ngx then
        ngx.log(ngx[level], "route_native.jwt: ", message)
    end
end

local function refresh(self)
    local now = time()
    if now == self.checked then
        return
    end
    self.checked = now
    local status = library.rn_keys_refresh(self.handle, changed, sentence, SENTENCE_BYTES, length)
    local trouble = status ~= OK and ffi.string(sentence, length[0]) or nil
    if trouble and trouble ~= self.trouble then
        log("ERR", trouble .. "; the keys read before stay in use")
    elseif status == OK and changed[0] == 1 then
        log("NOTICE", "changed keys were read")
    end
    self.trouble = trouble
end

-- The handle for the library, its keys up to date. Only where they have a source: or nil and the status.
function keys:current()
    if self.source then
        return self.source:current()
    elseif self.is_file then
        refresh(self)
    end
    return self.handle
end

-- Keys that `source` keeps: it has current() and, for a `kid` that none of them bears, renew().
function _M.of_source(source)
    return setmetatable({ source = source }, keys)
end

-- The public keys of a JWK Set that another server publishes. Returns nil and a sentence when there are none.
function _M.published(text)
    local ring, message = from_texts { { form = PUBLISHED, text = text } }
    if not ring then
        return nil, (message:gsub("^the key", "it"))
    end
    return ring
end

local strings = assert(lrucache.new(MOST_STRINGS))

-- The keys that a string stands for when it is read in one form; parsed once. Returns nil and a sentence when it is
-- none.
function _M.of_text(form, text)
    local id = form .. text
    local known = strings:get(id)
    if not known then
        local made_now, message = from_texts { { form = form, text = text } }
        if not made_now then
            return nil, message
        end
        known = made_now
        strings:set(id, known)
    end
    return known
end

-- The keys that an argument stands for: a handle, or a string.
function _M.of(value, level)
    if getmetatable(value) == keys then
        return value
    elseif type(value) ~= "string" then
        error("route_native.jwt: a key is a string, or what key(), secret(), keys(), key_file(), secret_file() or "
            .. "jwks() returns", (level or 1) + 1)
    end
    local item = guessed(value)
    local known, message = _M.of_text(item.form, value)
    return known or error("route_native.jwt: " .. message, (level or 1) + 1)
end

-- Keys made of a certificate that one of those in `trusted` vouches for. Returns nil, a sentence and the status
-- otherwise.
function _M.of_chain(trusted, chain)
    local array = ffi.new("rn_key_text[?]", #chain)
    for i, text in ipairs(chain) do
        array[i - 1] = { 0, text, #text }
    end
    local handle = ffi.new("rn_keys *[1]")
    local status = library.rn_keys_from_chain(trusted, #trusted, array, #chain, time(), handle, sentence,
        SENTENCE_BYTES,
        length)
    if status ~= OK then
        return nil, ffi.string(sentence, length[0]), status
    end
    return setmetatable({ handle = owned(handle) }, keys)
end

-- Whether a value is keys.
function _M.is(value)
    return getmetatable(value) == keys
end

return _M
