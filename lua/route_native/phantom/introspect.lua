-- Asks the authorization server about a token, and decides how long its answer may be cached.

local ffi = require "ffi"
local library = require "route_native.core.ffi"
local outbound = require "route_native.http.outbound"
local scan = require "route_native.core.scan"
local statuses = require "route_native.core.status"

local ffi_string = ffi.string
local ngx = ngx

-- Room for the scopes and what the API receives. Both come from an answer, which may grow when it is signed or encoded.
local TEXT_BYTES = 256 * 1024

local verdict = ffi.new("rn_verdict")
local text_buffer
local MEMBER_BYTES = 32
local member, member_length = ffi.new("uint8_t[?]", MEMBER_BYTES), ffi.new("size_t[1]")

local _M = {}

-- Returns the seconds that a Cache-Control header allows, or nil if it names none. A malformed value allows 0.
function _M.allowed_seconds(header)
    if not header then
        return nil
    end
    local allowed
    for directive in header:lower():gmatch("[^,]+") do
        local name, rest = directive:match("^%s*([%w-]+)(.*)$")
        if name == "no-store" or name == "no-cache" then
            return 0
        elseif name == "max-age" or name == "s-maxage" then
            local value = scan.trim_end(rest:match("^%s*=?%s*(.*)$"))
            local seconds = tonumber(value:match('^"?(%d+)"?$')) or 0
            allowed = math.min(allowed or seconds, seconds)
        end
    end
    return allowed
end

-- Reads an answer in the library. Returns the status. If that is OK, the verdict and its texts are in their buffers.
local function judge(settings, answer, token)
    local keys
    if settings.published then
        local status
        keys, status = settings.published:current()
        if not keys then
            return status
        end
    end
    text_buffer = text_buffer or ffi.new("uint8_t[?]", TEXT_BYTES)
    local content_type, body = answer.headers["content-type"] or "", answer.body
    return library.rn_introspector_read(settings.introspector, keys, content_type, #content_type, body, #body,
        token, #token, ngx.time(), verdict, text_buffer, TEXT_BYTES)
end

-- Reads an answer with newer keys if need be. Returns { scope, forward, identity, confirmation, expires_at } of an
-- active token, or nil and the status.
local function read(settings, answer, token)
    local status = judge(settings, answer, token)
    if status == statuses.KEY_NOT_FOUND then
        local refreshed = settings.published.source:refresh()
        status = refreshed == statuses.OK and judge(settings, answer, token) or refreshed
    end
    if status == statuses.KEY_NOT_FOUND then
        -- The server signs with a key that it does not publish. That is its fault and not the token's.
        return nil, statuses.SERVER_ANSWER_INVALID
    elseif status ~= statuses.OK then
        return nil, status
    end
    local at = text_buffer
    local scope = ffi_string(at, verdict.scope_length)
    at = at + verdict.scope_length
    local forward = ffi_string(at, verdict.forward_length)
    at = at + verdict.forward_length
    local identity = ffi_string(at, verdict.identity_length)
    local confirmation = ffi_string(at + verdict.identity_length, verdict.confirmation_length)
    return {
        scope = scope, forward = forward, identity = identity, confirmation = confirmation,
        expires_at = tonumber(verdict.expires_at),
    }
end

-- Returns for how many seconds an answer may be cached, and after how many the token expires.
local function lifetime(settings, answer, expires_at)
    local seconds = settings.token_cache_seconds
    local allowed = _M.allowed_seconds(answer.headers["cache-control"])
    if allowed then
        seconds = math.min(seconds, allowed)
    end
    local left = math.huge
    if expires_at > 0 then
        left = expires_at - ngx.now()
    end
    return math.max(math.min(seconds, left), 0), left
end

local function log_error(settings, message)
    ngx.log(ngx.ERR, "route_native: introspection at ", settings.endpoint, ": ", message)
end

-- The forms of members that an answer may have, as the ends of a sentence. Null is absent in a JSON answer.
local SECONDS = " must be a number of seconds since 1970, before the year 10000, and neither milliseconds nor a text"
local FORMS = {
    active = " must be true or false", exp = SECONDS, nbf = SECONDS, iss = " must be a text",
    token_introspection = " must be an object",
}

-- Returns a sentence that names the member for which an answer is malformed, or nil.
local function malformed(answer)
    local content_type, body = answer.headers["content-type"] or "", answer.body
    library.rn_introspection_malformed_member(content_type, #content_type, body, #body, member, MEMBER_BYTES,
        member_length)
    local name = ffi_string(member, member_length[0])
    return name ~= "" and ('the member "%s"%s'):format(name, FORMS[name] or " must be a text or a list of texts") or nil
end

-- The statuses of src/introspection as sentences for the log.
local MESSAGES = {
    [statuses.SERVER_ANSWER_INVALID] = "the answer is none of the documented ones, or not signed as it must be, "
        .. "or does not say whom it is from and for",
    [statuses.KEY_UNSUPPORTED] = "the answer is JSON; set signing_key or headers to say what the API receives",
}

-- Asks about a token. Returns { scope, forward, identity, confirmation, seconds, left } of an active token: `forward`
-- is what the API receives, `identity` what the token can be revoked by, `confirmation` the JSON of its `cnf`,
-- `seconds` is how long the answer may be cached, and `left` is how long the token is valid. Returns nil and the status
-- otherwise: one of the token (100s) or of the server (300s); and true if the server would say the same again.
function _M.ask(settings, token)
    local answer, err, status = outbound.ask(settings.outbound,
        "token=" .. ngx.escape_uri(token) .. "&token_type_hint=access_token")
    if not answer then
        log_error(settings, err)
        return nil, status
    elseif answer.status == 204 then
        return nil, statuses.TOKEN_INACTIVE
    elseif answer.status ~= 200 then
        log_error(settings, "status " .. answer.status)
        return nil, statuses.SERVER_FAILED
    end
    local active
    active, status = read(settings, answer, token)
    if not active then
        if not statuses.is_token(status) then
            local sentence = status == statuses.SERVER_ANSWER_INVALID and malformed(answer)
            log_error(settings, sentence or MESSAGES[status] or statuses.name(status))
            status = status >= 300 and status or statuses.SERVER_ANSWER_INVALID
            return nil, status, sentence ~= false and sentence ~= nil
        end
        return nil, status
    end
    active.seconds, active.left = lifetime(settings, answer, active.expires_at)
    return active
end

return _M
