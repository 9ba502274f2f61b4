-- Decides whether the sender of a token is its holder: a token may name a key (`cnf.jkt`, RFC 9449 §6) or a certificate
-- (`cnf.x5t#S256`, RFC 8705 §3.1) of its holder, or both. Whatever a token names must be shown.
--
-- A configuration has `dpop`, `mtls` or both. With one of them, a token that names something that the configuration
-- cannot check is refused: it is not for everybody who has it.

local certificate = require "route_native.bound.certificate"
local config = require "route_native.core.config"
local dpop = require "route_native.bound.dpop"
local response = require "route_native.core.response"
local statuses = require "route_native.core.status"

local next, pairs, type = next, pairs, type
local OK = statuses.OK

local THUMBPRINT = "^[%w_-]+$"
local THUMBPRINT_LENGTH = 43
local NONE = {}

local INVALID_TOKEN = 'error="invalid_token"'
local INVALID_PROOF = 'error="invalid_dpop_proof"'
local NEEDS_NONCE = 'error="use_dpop_nonce"'

local _M = {}
local holder = {}
holder.__index = holder

-- The configuration rows of bound tokens.
_M.ROWS = config.rows(dpop.ROWS, { { "mtls", config.choice("required", "accepted") } })

-- Returns what checks the holders of a configuration's tokens, or nil if everybody may use them.
function _M.of(owner, values)
    local proofs = dpop.of(owner, values)
    if not proofs and not values.mtls then
        return nil
    end
    return setmetatable({
        dpop = proofs,
        mtls = values.mtls ~= nil,
        is_required = proofs and proofs.is_required or values.mtls == "required",
        -- A token that is bound to a certificate comes as Bearer.
        takes_bearer = values.mtls ~= nil or not proofs.is_required,
    }, holder)
end

-- Returns what a token's `cnf` names: the thumbprints of a key and of a certificate, and whether it names anything
-- else. Returns nil if it is malformed.
local function confirmation(cnf)
    if cnf == nil then
        return NONE
    elseif type(cnf) ~= "table" or next(cnf) == nil then
        return nil
    end
    local found = {}
    for name, value in pairs(cnf) do
        if name ~= "jkt" and name ~= "x5t#S256" then
            found.is_unknown = true
        elseif type(value) ~= "string" or #value ~= THUMBPRINT_LENGTH or not value:find(THUMBPRINT) then
            return nil
        else
            found[name == "jkt" and "key" or "certificate"] = value
        end
    end
    return found
end

-- Returns OK if a token may be sent as it was sent, or another status.
local function check_scheme(self, bound, is_dpop)
    if bound.is_unknown or (bound.key and not self.dpop) or (bound.certificate and not self.mtls) then
        return statuses.TOKEN_BOUND
    elseif bound.key and not is_dpop then
        return statuses.TOKEN_BOUND
    elseif is_dpop and not bound.key or self.is_required and not (bound.key or bound.certificate) then
        return statuses.TOKEN_NOT_BOUND
    end
    return OK
end

-- Checks that the sender of the current request is the holder of its token. `cnf` is the token's claim, as a table.
-- Returns OK, or another status.
function holder:confirm(headers, token, cnf, is_dpop)
    local bound = confirmation(cnf)
    if not bound then
        return statuses.CLAIM_MALFORMED
    end
    local status = check_scheme(self, bound, is_dpop)
    if status == OK and bound.certificate then
        local shown = certificate.thumbprint(headers)
        status = shown == bound.certificate and OK
            or shown and statuses.CERTIFICATE_MISMATCH or statuses.TOKEN_BOUND
    end
    if status ~= OK or not bound.key then
        return status
    end
    local proof_status, _, use = self.dpop:check(headers, token, bound.key)
    return proof_status == OK and use() or proof_status
end

-- Returns the attributes of the challenge for a status.
function _M.attributes(status)
    if status == statuses.PROOF_NONCE_INVALID then
        return NEEDS_NONCE
    elseif status >= statuses.PROOF_MISSING and status < statuses.HOLDER_KEY_MISMATCH then
        return INVALID_PROOF
    end
    return INVALID_TOKEN
end

-- Returns the challenges of a refusal, the one of the scheme that the client used first (RFC 9449 §7.1, §7.2), and
-- offers the client a nonce. `attributes` is nil for a request without a token.
function holder:challenges(attributes, realm, is_dpop)
    local bearer = self.takes_bearer and response.scheme("Bearer", realm, not is_dpop and attributes or nil)
    if not self.dpop then
        return bearer
    end
    self.dpop:offer_nonce()
    local proof = response.scheme("DPoP", realm, is_dpop and attributes or nil, self.dpop.algorithms)
    if not bearer then
        return proof
    end
    return is_dpop and proof .. ", " .. bearer or bearer .. ", " .. proof
end

return _M
