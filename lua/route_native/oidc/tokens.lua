-- The token endpoint (RFC 6749 §4.1.3, §5, §6), and the checks of an ID token (OpenID Connect Core 3.1.3.7).

local base64 = require "ngx.base64"
local json = require "route_native.oidc.json"
local random = require "route_native.core.random"

local ngx = ngx
local find, lower, match = string.find, string.lower, string.match

-- The bounds of a token, in bytes. Longer ID tokens do not fit into the library's buffers.
local MAX_TOKEN_BYTES = 65536
local MAX_SUB_BYTES = 255
-- The longest life of an access token that is believed, in seconds.
local MAX_SECONDS = 366 * 86400

local _M = {}

local function is_token(value)
    return type(value) == "string" and #value > 0 and #value <= MAX_TOKEN_BYTES and find(value, "^[\33-\126]+$") ~= nil
end

-- Reads a successful answer. Returns { access_token, refresh_token, id_token, expires_at }, or nil and an error.
local function read(body, now, default_seconds)
    local answer = json.parse(body)
    if not answer then
        return nil, "its answer is no JSON object"
    elseif not is_token(answer.access_token) then
        return nil, "its answer has no access token"
    elseif type(answer.token_type) ~= "string" or lower(answer.token_type) ~= "bearer" then
        return nil, "its token_type is not Bearer"
    elseif answer.refresh_token ~= nil and not is_token(answer.refresh_token)
        or answer.id_token ~= nil and not is_token(answer.id_token) then
        return nil, "one of its tokens is malformed"
    end
    local seconds = tonumber(answer.expires_in or default_seconds)
    if answer.expires_in ~= nil and not (seconds and seconds >= 0 and seconds <= MAX_SECONDS) then
        return nil, "its expires_in is no number of seconds"
    end
    return {
        access_token = answer.access_token, refresh_token = answer.refresh_token, id_token = answer.id_token,
        expires_at = seconds and now + math.floor(seconds) or nil,
    }
end

-- Asks the token endpoint. Returns the tokens; or nil and "refused" with the error code of the provider, or nil and
-- "unavailable".
function _M.ask(provider, fields)
    local metadata = provider:metadata()
    if not metadata then
        return nil, "unavailable"
    end
    local now = ngx.time()
    local answer = provider:post(metadata.urls.token_endpoint, fields)
    if not answer then
        return nil, "unavailable"
    end
    if answer.status == 200 then
        local tokens, err = read(answer.body, now, provider.expires_in)
        if tokens then
            return tokens
        end
        provider:log("the token endpoint", err)
        return nil, "unavailable"
    end
    local refusal = json.parse(answer.body)
    local code = refusal and type(refusal.error) == "string" and match(refusal.error, "^[%w_]+$") or "none"
    provider:log("the token endpoint", "status " .. answer.status .. ", error " .. code:sub(1, 64))
    -- invalid_client and the like are a fault of the configuration, and no fault of the user.
    if answer.status >= 400 and answer.status < 500 and answer.status ~= 429 and code == "invalid_grant" then
        return nil, "refused", code
    end
    return nil, "unavailable"
end

-- Returns whether `aud` has only this client, or `azp` names it (§3.1.3.7, 3 to 5).
local function is_for(claims, client_id)
    if claims.azp ~= nil and claims.azp ~= client_id then
        return false
    end
    return type(claims.aud) == "string" or #claims.aud == 1 or claims.azp == client_id
end

-- Returns whether at_hash, if there, is that of the access token (§3.1.3.6).
local function has_hash(claims, header, access_token)
    if claims.at_hash == nil then
        return true
    end
    -- Ed25519 hashes with SHA-512, and has no number in its name.
    local bits = tonumber(match(header.alg, "%d%d%d")) or 512
    local digest = random.digest(access_token, bits)
    return claims.at_hash == base64.encode_base64url(digest:sub(1, #digest / 2))
end

-- Returns the reason for which the ID token does not authenticate the user as much as is asked for, or nil.
-- `wanted` has acrs, a set, and max_age.
function _M.weakness(claims, wanted, now, leeway)
    if next(wanted.acrs) and not (type(claims.acr) == "string" and wanted.acrs[claims.acr]) then
        return "acr_insufficient"
    end
    local max_age = wanted.max_age
    if max_age and not (type(claims.auth_time) == "number" and claims.auth_time + max_age + leeway >= now) then
        return "authentication_too_old"
    end
end

-- Checks the ID token of a token answer. `nonce` is that of the login, or nil for a refresh. Returns the claims, or nil
-- and the reason, and whether the provider or this server caused it.
function _M.check(provider, tokens, nonce)
    if not tokens.id_token then
        return nil, "id_token_missing", false
    end
    local claims, header, is_ours = provider:verify(tokens.id_token, provider.policy)
    if not claims then
        return nil, header, is_ours
    elseif type(claims.sub) ~= "string" or claims.sub == "" or #claims.sub > MAX_SUB_BYTES then
        return nil, "sub_malformed", false
    elseif not is_for(claims, provider.settings.client_id) then
        return nil, "azp_mismatch", false
    elseif nonce and not random.is_equal(claims.nonce, nonce) then
        return nil, "nonce_mismatch", false
    elseif not has_hash(claims, header, tokens.access_token) then
        return nil, "at_hash_mismatch", false
    end
    return claims
end

-- Adds the claims of the UserInfo endpoint (§5.3), which must be about the same user. Claims of the ID token stay.
-- Returns what the endpoint said, or nil.
function _M.add_userinfo(provider, claims, access_token)
    local metadata = provider:metadata()
    local url = metadata and metadata.urls.userinfo_endpoint
    if not url then
        provider:log("UserInfo", "its metadata names no userinfo_endpoint")
        return nil
    end
    local answer = provider:get(url, access_token, "application/json, application/jwt;q=0.9")
    local info
    if answer and answer.status == 200 then
        local is_jwt = match(lower(answer.headers["content-type"] or ""), "^application/jwt%f[^%w]") ~= nil
        info = is_jwt and _M.userinfo_of_jwt(provider, answer.body) or not is_jwt and json.parse(answer.body)
    elseif answer then
        provider:log("UserInfo", "status " .. answer.status)
        return nil
    end
    if not info or info.sub ~= claims.sub then
        provider:log("UserInfo", "its answer is malformed, or about another user")
        return nil
    end
    for name, value in pairs(info) do
        if claims[name] == nil then
            claims[name] = value
        end
    end
    return info
end

-- Returns the claims of a signed UserInfo answer, or nil.
function _M.userinfo_of_jwt(provider, token)
    local claims, reason = provider:verify(token, provider.userinfo_policy)
    if not claims then
        provider:log("UserInfo", "its JWT is not valid: " .. tostring(reason))
    end
    return claims
end

return _M
