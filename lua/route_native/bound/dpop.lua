-- DPoP proofs of requests (RFC 9449): their settings, their check, and the nonces that answers carry.

local client = require "route_native.core.client"
local config = require "route_native.core.config"
local ffi = require "ffi"
local handles = require "route_native.core.handle"
local kept = require "route_native.core.kept"
local library = require "route_native.core.ffi"
local memories = require "route_native.bound.memory"
local nonces = require "route_native.bound.nonces"
local statuses = require "route_native.core.status"
local cjson = require "cjson.safe"

local ngx = ngx
local ffi_string = ffi.string
local OK = statuses.OK
local PROOF_ID_BYTES, THUMBPRINT_BYTES = library.RN_PROOF_ID_BYTES, library.RN_THUMBPRINT_BYTES
local HEADER = "dpop"
-- Enough for a list of all algorithms.
local NAMES_BYTES = 256
-- Room for `cnf`, and for numbers that are written in more digits than they were read.
local BINDING_BYTES = 4096

-- Shared by all requests: they are written and read without a yield in between.
local request, proof, length = ffi.new("rn_proof_request"), ffi.new("rn_proof"), ffi.new("size_t[1]")
-- The texts of `request`, which does not keep them alive.
local texts = {}

local ROWS = {
    { "mode", config.choice("required", "accepted"), default = "required" },
    { "public_origins", config.ORIGINS, required = true },
    { "algorithms", config.list() },
    { "max_age", config.whole(1, 600, "seconds"), default = 60 },
    { "leeway", config.whole(0, 300, "seconds"), default = 5 },
    { "nonce", config.boolean(), default = false },
    { "nonce_seconds", config.whole(10, 3600, "seconds"), default = 300 },
    { "dict", config.text("^[%w_]+$", "the name of a lua_shared_dict"), default = "route_native_dpop" },
}

local _M = {}
local dpop = {}
dpop.__index = dpop

-- The configuration row of proofs.
_M.ROWS = { { "dpop", config.any("table") } }

-- Returns the names of a policy's algorithms, separated by blanks.
local function names_of(policy)
    local names = ffi.new("uint8_t[?]", NAMES_BYTES)
    local status = library.rn_proof_policy_algorithms(policy, names, NAMES_BYTES, length)
    return status == OK and ffi_string(names, length[0]) or nil
end

-- Returns the settings of a configuration, or nil if it has none.
function _M.of(owner, values)
    if not values.dpop then
        return nil
    end
    local options = config.read(owner, ROWS, values.dpop, "dpop.")
    local origins = {}
    for origin in pairs(client.origins(options.public_origins)) do
        origins[#origins + 1] = origin
    end
    local json = cjson.encode {
        origins = origins, algorithms = options.algorithms, max_age = options.max_age, leeway = options.leeway,
        nonce_seconds = options.nonce and options.nonce_seconds or nil,
    }
    local policy, err = handles.new("rn_proof_policy", function(...)
        return library.rn_proof_policy_new(json, #json, ...)
    end)
    local names = policy and names_of(policy)
    if not names then
        config.fail(owner, 'the field "dpop": %s', err ~= "" and err or "the list of algorithms is too long")
    end
    return setmetatable({
        policy = policy,
        is_required = options.mode == "required",
        algorithms = ('algs="%s"'):format(names),
        nonce_seconds = options.nonce and options.nonce_seconds,
        memory = memories.new(options.dict)
            or config.fail(owner, 'lua_shared_dict %s is missing, and "dpop" needs it', options.dict),
    }, dpop)
end

-- Sets the header that tells the client its next nonce, if there are nonces.
function dpop:offer_nonce()
    if self.nonce_seconds then
        ngx.header["DPoP-Nonce"] = nonces.current(self.memory, self.nonce_seconds)
    end
end

-- Returns the request's proof as the client sent it, or nil and a status.
local function find(headers)
    local value = kept.header(kept.find(), HEADER, headers[HEADER])
    if type(value) == "table" then
        return nil, statuses.PROOF_AMBIGUOUS
    end
    return value, statuses.PROOF_MISSING
end

-- Checks the proof of the current request. `token` is the access token and `key` the thumbprint of the key that it is
-- bound to; both are nil at a token endpoint. Returns OK, or another status. On OK, the second result is the thumbprint
-- of the proof's key, and the third uses up the proof: it returns OK, PROOF_REPLAYED or REPLAY_MEMORY_FULL.
function dpop:check(headers, token, key)
    local text, status = find(headers)
    if not text then
        return status
    end
    local secret = ""
    if self.nonce_seconds then
        secret = nonces.secret(self.memory)
        if not secret then
            return statuses.REPLAY_MEMORY_FULL
        end
    end
    local now = ngx.time()
    texts.method, texts.target, texts.secret = ngx.req.get_method(), ngx.var.request_uri, secret
    texts.token, texts.key = token or "", key or ""
    handles.set_texts(request, texts)
    status = library.rn_proof_check(self.policy, text, #text, request, now, proof)
    if status ~= OK then
        return status
    end
    if proof.needs_nonce ~= 0 then
        self:offer_nonce()
    end
    local id, seconds = ffi_string(proof.id, PROOF_ID_BYTES), tonumber(proof.ends_at) - now
    return OK, ffi_string(proof.thumbprint, THUMBPRINT_BYTES), function()
        return self.memory:use(id, seconds)
    end
end

-- Returns the JSON of claims that are bound to the key with that thumbprint, or nil and the reason's name.
function _M.bind(claims, thumbprint)
    local capacity = #claims + BINDING_BYTES
    local bound = ffi.new("uint8_t[?]", capacity)
    local status = library.rn_proof_bind(claims, #claims, thumbprint, #thumbprint, bound, capacity, length)
    if status == OK then
        return ffi_string(bound, length[0])
    end
    return nil, statuses.name(status)
end

-- Removes the proof from the request. An upstream has no use for it without its token.
function _M.remove(headers)
    if headers[HEADER] then
        kept.keep_header(HEADER, headers[HEADER])
        ngx.req.clear_header("DPoP")
    end
end

return _M
