-- Makes an engine: the keys and settings of one policy, with their cache in the library. Keeps its signing keys
-- current, and wraps the calls of the library that need no request.
--
--     gateway     the handle of settings and cache in the library
--     keys        the signing keys (jwt/keyring.lua): a file that may change, or a JWK Set by URL
--     checked     the second in which the keys were last known to be current
--     generation  how often the keys have changed

local ffi = require "ffi"
local handles = require "route_native.core.handle"
local keyring = require "route_native.jwt.keyring"
local library = require "route_native.core.ffi"
local statuses = require "route_native.core.status"
local worker_thread = require "route_native.desktop.worker_thread"

local ffi_string = ffi.string
local OK, KEY_NOT_FOUND, KEY_UNREADABLE = statuses.OK, statuses.KEY_NOT_FOUND, statuses.KEY_UNREADABLE

-- Shared by all requests: it is written and read without a yield in between.
local changed = ffi.new("uint32_t[1]")

local _M = {}

-- Returns the signing keys, or nil, an error and the status. A mistake in the settings of a JWK Set raises an error.
local function keys_of(settings)
    local labels, jwks = settings.labels, settings.signing_jwks
    if jwks then
        return require("route_native.jwt.jwks").new(type(jwks) == "table" and jwks or { url = jwks })
    elseif settings.signing_key then
        return keyring.public_file(settings.signing_key, "route_native")
    end
    return nil, (labels.signing_key or "signing_key") .. " is not set", KEY_UNREADABLE
end

-- Returns the policy that the library applies, or nil, an error and the status.
local function policy_of(settings, keys)
    local ok, policy = pcall(require("route_native.jwt").policy, {
        issuer = settings.issuer, audience = settings.audience, algorithms = settings.algorithms,
        max_lifetime = settings.max_lifetime, leeway = settings.leeway,
    })
    local label = settings.labels.algorithms
    if not ok then
        -- config.lua has checked everything but the names of algorithms.
        return nil, label .. ": " .. policy:gsub("^.*route_native%.jwt: ", ""), statuses.SETTING_INVALID
    end
    local fits, err = keyring.fits(keys, policy.handle)
    if not fits then
        return nil, err:gsub('^the policy field "algorithms"', label), statuses.SETTING_INVALID
    end
    return policy
end

-- Returns the handle of a gateway, or nil, an error and the status.
local function gateway_of(settings, policy)
    local options = ffi.new("rn_gateway_options", { cache_entries = settings.cache_entries })
    handles.set_texts(options, {
        payload_key = settings.payload_key,
        padding = settings.payload_padding or "",
        suffix = settings.target_suffix or "",
    })
    local gateway, text, status = handles.new("rn_gateway", function(...)
        return library.rn_gateway_new(options, policy.handle, ...)
    end)
    if not gateway and status == statuses.SETTING_INVALID then
        -- The error begins with the option's name. Its label is the variable if that has set the option.
        text = text:gsub("^[%w_]+", settings.labels)
    end
    return gateway, text, status
end

-- Has the library verify with these keys from now on.
local function use_keys(engine, handle)
    library.rn_gateway_use_keys(engine.gateway, handle, changed)
    engine.generation = engine.generation + changed[0]
end

-- Returns an engine, or nil, an error and the status. It reads the keys in the master process, before nginx drops its
-- privileges.
function _M.new(settings)
    local keys, err, status = keys_of(settings)
    if not keys then
        return nil, err, status
    elseif not settings.payload_key then
        return nil, settings.labels.payload_key .. " is not set", KEY_UNREADABLE
    end
    local policy, gateway
    policy, err, status = policy_of(settings, keys)
    if not policy then
        return nil, err, status
    end
    gateway, err, status = gateway_of(settings, policy)
    if not gateway then
        return nil, err, status
    end
    local engine = { gateway = gateway, keys = keys, checked = -1, generation = 0 }
    if not keys.source then
        use_keys(engine, keys:current())
    end
    return engine
end

-- Makes the current signing keys those of the engine, at most once a second. Returns the status. May wait for a JWK
-- Set.
function _M.check(engine, now)
    local handle, status = engine.keys:current()
    if not handle then
        return status
    end
    use_keys(engine, handle)
    engine.checked = now
    return OK
end

-- Fetches newer keys for a token whose `kid` no current key has. Returns the status: OK if there are newer keys.
function _M.refresh(engine, now)
    local source = engine.keys.source
    local status = source and source:refresh() or KEY_NOT_FOUND
    return status == OK and _M.check(engine, now) or status
end

-- Verifies a token. Returns its claims as JSON text, or nil and the status.
function _M.verify(engine, token, now)
    local status = engine.checked == now and OK or _M.check(engine, now)
    if status ~= OK then
        return nil, status
    end
    local length = ffi.new("size_t[1]")
    local claims = ffi.new("uint8_t[?]", #token + 1)
    status = library.rn_gateway_verify(engine.gateway, token, #token, now, claims, #token + 1, length)
    if status ~= OK then
        return nil, status
    end
    return ffi_string(claims, length[0])
end

-- Decrypts the text of a `hash` claim in this thread. Returns the target in it, or nil and the status.
function _M.decrypt(engine, hash)
    local status, target = worker_thread.decrypt(engine.gateway, hash)
    return target, status
end

return _M
