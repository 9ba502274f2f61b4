-- Asks the authorization server about a token, and says for how long its answer counts.

local ffi = require "ffi"
local library = require "route_native.core.ffi"
local outbound = require "route_native.http.outbound"
local reason = require "route_native.core.status"
local scan = require "route_native.core.scan"

local ffi_string = ffi.string
local ngx = ngx

-- Room for the scopes and what the API receives: no more than an answer holds, signed again or encoded.
local TEXT_BYTES = 256 * 1024

local verdict = ffi.new("rn_verdict")
local text_buffer

local _M = {}

-- The seconds that a Cache-Control header allows; nil when it names none. What is not understood allows 0.
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

-- Returns the status, and with OK leaves the verdict and its texts.
local function judge(settings, answer)
    local keys
    if settings.published then
        local trouble
        keys, trouble = settings.published:current()
        if not keys then
            return trouble
        end
    end
    text_buffer = text_buffer or ffi.new("uint8_t[?]", TEXT_BYTES)
    local content_type, body = answer.headers["content-type"] or "", answer.body
    return library.rn_introspector_read(settings.introspector, keys, content_type, #content_type, body, #body,
        ngx.time(), verdict, text_buffer, TEXT_BYTES)
end

local function read(settings, answer)
    local status = judge(settings, answer)
    if status == reason.KEY_NOT_FOUND then
        local renewed = settings.published.source:refresh()
        status = renewed == reason.OK and judge(settings, answer) or renewed
    end
    if status == reason.KEY_NOT_FOUND then
        -- The server signs with a key that it does not publish: that says nothing about the token.
        return nil, reason.SERVER_ANSWER_INVALID
    elseif status ~= reason.OK then
        return nil, status
    end
    local scope = ffi_string(text_buffer, verdict.scope_length)
    local forward = ffi_string(text_buffer + verdict.scope_length, verdict.forward_length)
    return { scope = scope, forward = forward, expires_at = tonumber(verdict.expires_at) }
end

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

local function complain(settings, what)
    ngx.log(ngx.ERR, "route_native: introspection at ", settings.endpoint, ": ", what)
end

-- What the reasons of src/introspection mean to whoever reads the log.
local WRONG = {
    [reason.SERVER_ANSWER_INVALID] = "the answer is none of the documented ones, or not signed as it must be, "
        .. "or does not say whom it is from and for",
    [reason.KEY_UNSUPPORTED] = "the answer is JSON; set signing_key or headers to say what the API receives",
}

-- Returns { scope, forward, seconds, left } of an active token: what the API receives, how long that may be kept, how
-- long it holds at all. Else nil and the reason: a token's (100s) or the server's (300s).
function _M.ask(settings, token)
    local answer, sentence, trouble = outbound.ask(settings.outbound,
        "token=" .. ngx.escape_uri(token) .. "&token_type_hint=access_token")
    if not answer then
        complain(settings, sentence)
        return nil, trouble
    end
    local status = answer.status
    if status == 204 then
        return nil, reason.TOKEN_INACTIVE
    elseif status ~= 200 then
        complain(settings, "status " .. status)
        return nil, reason.SERVER_FAILED
    end
    local active, why = read(settings, answer)
    if not active then
        if why < 100 or why >= 200 then
            complain(settings, WRONG[why] or reason.name(why))
            why = why >= 300 and why or reason.SERVER_ANSWER_INVALID
        end
        return nil, why
    end
    active.seconds, active.left = lifetime(settings, answer, active.expires_at)
    return active
end

return _M
