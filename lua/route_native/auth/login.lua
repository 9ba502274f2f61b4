-- login(): passes the credentials to an internal location that knows the users, and signs its answer as a token.
-- auth.lua documents the configuration.
--
-- | status | when                                                                                             |
-- |--------|--------------------------------------------------------------------------------------------------|
-- | 200    | the backend answered 200; the token holds the backend's JSON with iat, exp, iss and jti          |
-- | 400    | the proof of possession is refused, or needs a nonce of this server (RFC 9449 §5, §8);           |
-- |        | the body is ambiguous, such as one that names the user twice or does not match its Content-Type; |
-- |        | the name is longer than 256 bytes; or there are more than 1000 headers                           |
-- | 403    | `cookie` is set, and the request comes from a page of another site                               |
-- | 405    | not a POST                                                                                       |
-- | 411    | the length of the body is unknown, over HTTP/2                                                   |
-- | 413    | the body is larger than max_body                                                                 |
-- | 415    | the body has a Content-Encoding                                                                  |
-- | 429    | too many failed attempts; Retry-After says when to try again                                     |
-- | 502    | the backend's 200 is no JSON object, or too large                                                |
-- | 503    | the keys cannot be read, or there is no room for another counter of attempts                     |
-- | 505    | HTTP/2 on a lua-nginx-module before 0.10.28, which cannot make subrequests there                 |
-- | other  | the status and the body of the backend                                                           |

local access_log = require "route_native.core.access_log"
local auth_keys = require "route_native.auth.keys"
local client = require "route_native.core.client"
local config = require "route_native.core.config"
local cookie = require "route_native.core.cookie"
local dpop = require "route_native.bound.dpop"
local jwt = require "route_native.jwt"
local login_body = require "route_native.core.login_body"
local metrics = require "route_native.core.metrics"
local rate_limit = require "route_native.core.rate_limit"
local request = require "route_native.core.request"
local response = require "route_native.core.response"
local statuses = require "route_native.core.status"
local subrequest = require "route_native.core.subrequest"
local trace = require "route_native.core.trace"

local ngx = ngx

local MESSAGES = {
    [400] = response.json("bad_request", "The body is not of its type, or names the user twice"),
    [403] = response.json("cross_site", "This request came from another site"),
    [405] = response.json("method_not_allowed", "Log in with POST"),
    [411] = response.json("length_required", "The length of the body is not known"),
    [413] = response.json("body_too_large", "The body is too large"),
    [415] = response.json("unsupported_media_type", "A login has no Content-Encoding"),
    [429] = response.json("too_many_attempts", "Too many attempts, try again later"),
    [502] = response.json("bad_gateway", "The login service gave no answer that can be used"),
    [505] = response.json("http_version_not_supported", "Log in over HTTP/1.1"),
}
-- RFC 6749 §5.2 has the form of these.
local INVALID_PROOF = '{"error":"invalid_dpop_proof","error_description":"The DPoP proof is missing or refused"}\n'
local NEEDS_NONCE = '{"error":"use_dpop_nonce","error_description":"The DPoP proof needs the nonce of this server"}\n'
-- The Retry-After of a 503, in seconds.
local RETRY_AFTER = 5
-- The headers of the backend's answer that reach the client if the answer is no 200.
local PASSED_HEADERS = { "Content-Type", "WWW-Authenticate", "Retry-After", "Location" }
-- The client's headers that could turn the backend's answer into something else than its JSON.
local DROPPED_HEADERS = { "Accept-Encoding", "Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since",
    "If-Unmodified-Since" }

local _M = {}

local OWNER = "route_native.auth: login()"
local COOKIE = {
    { "name", config.text("^[%w_-]+$", "letters, digits, _ and -"), default = "token" },
    { "path", config.text("^/[^;,%s]*$", "a path"), default = "/" },
    { "domain", config.text("^[%w.-]+$", "a host name") },
    { "same_site", config.choice("Strict", "Lax", "None"), default = "Lax" },
    { "secure", config.boolean(), default = true },
}
local ROWS = config.rows(auth_keys.ROWS, rate_limit.ROWS, dpop.ROWS, {
    { "backend", config.text("^/%S*$", "an internal location that begins with /"), required = true },
    { "user_field", config.text(), default = "username" },
    { "max_body", config.whole(1, 1048576, "bytes"), default = 65536 },
    { "issuer", config.text(), required = true },
    { "lifetime", config.whole(1, 366 * 86400, "seconds"), default = 3600 },
    { "algorithm", config.text("^%w+$", "the name of an algorithm") },
    { "cookie", config.nested(COOKIE) },
    { "public_origins", config.ORIGINS },
})

-- Reads a configuration. Returns what run() takes.
function _M.read(input)
    local values = config.read(OWNER, ROWS, input)
    if values.cookie and values.cookie.same_site == "None" and not values.cookie.secure then
        config.fail(OWNER, 'a cookie with "same_site" None must be secure')
    elseif values.cookie and values.dpop then
        config.fail(OWNER, 'the fields "cookie" and "dpop" exclude each other: a browser sends no proof with a cookie')
    end
    local self = {
        keys = auth_keys.open(OWNER, values),
        backend = values.backend,
        user_field = values.user_field,
        max_body = values.max_body,
        limit = rate_limit.of(OWNER, values),
        cookie = values.cookie,
        public_origins = client.origins(values.public_origins),
        dpop = dpop.of(OWNER, values),
        lifetime = values.lifetime,
    }
    if self.cookie then
        self.cookie.max_age = values.lifetime
    end
    self.options = auth_keys.try(OWNER, jwt.sign_options, {
        issuer = values.issuer, lifetime = values.lifetime, algorithm = values.algorithm, jti = true,
    })
    local keys = self.keys()
    if keys then
        -- Sign now, so that a key that cannot sign with this algorithm fails at the start and not at a login.
        auth_keys.try(OWNER, jwt.sign, {}, keys, self.options)
    end
    return self
end

local function refuse(status)
    return response.finish(status, MESSAGES[status])
end

local function count(result)
    metrics.count("logins_total", "auth", result)
end

-- Ends a request that has no attempt left, or whose counter has no room.
local function refuse_attempt(wait, is_full)
    if is_full then
        return response.unavailable(wait)
    end
    count "limited"
    ngx.header["Retry-After"] = wait
    return refuse(429)
end

local function ask_backend(self, body)
    for _, name in ipairs(DROPPED_HEADERS) do
        ngx.req.clear_header(name)
    end
    return ngx.location.capture(self.backend, { method = ngx.HTTP_POST, body = body, vars = trace.share {} })
end

-- Ends the request with the backend's own answer.
local function pass_answer(self, answer)
    local status = answer.status
    -- nginx marks an answer without a body as truncated too, such as that of `return 403`.
    local is_incomplete = answer.truncated and (#answer.body > 0 or status == 502)
    if status < 200 or #answer.body > self.max_body or is_incomplete then
        return refuse(502)
    end
    for _, name in ipairs(PASSED_HEADERS) do
        ngx.header[name] = answer.header[name]
    end
    ngx.header["Cache-Control"] = "no-store"
    ngx.status = status
    ngx.print(answer.body)
    return ngx.exit(status)
end

-- Ends the request of a client whose proof is refused (RFC 9449 §5, §8).
local function refuse_proof(status)
    access_log.reason(statuses.name(status))
    if not statuses.is_token(status) then
        ngx.log(ngx.ERR, "route_native.auth: a proof could not be checked: ", statuses.name(status))
        return response.unavailable(RETRY_AFTER)
    end
    return response.finish(400, status == statuses.PROOF_NONCE_INVALID and NEEDS_NONCE or INVALID_PROOF)
end

-- Checks the proof of the client. Returns its key's thumbprint and the function that uses it up, or ends the request. A
-- client without a proof gets a Bearer token where proofs are not required.
local function check_proof(self, headers)
    local status, key, use = self.dpop:check(headers)
    if status == statuses.OK then
        return { key = key, use = use }
    elseif status ~= statuses.PROOF_MISSING or self.dpop.is_required then
        return refuse_proof(status)
    end
    return {}
end

-- Ends the request with a token, as OAuth's token endpoints do (RFC 6749 §5.1, RFC 9449 §5).
local function answer_with_token(self, token, proof)
    return response.finish(ngx.HTTP_OK, ('{"access_token":"%s","token_type":"%s","expires_in":%d}\n')
        :format(token, proof.key and "DPoP" or "Bearer", self.lifetime))
end

-- Ends the request with a token that holds the backend's answer. `proof` is the client's, if tokens are bound.
local function grant(self, keys, answer, proof)
    -- Only a client that may log in takes room in the memory of used proofs.
    local used = proof and proof.use and proof.use() or statuses.OK
    if used ~= statuses.OK then
        return refuse_proof(used)
    end
    local token, reason
    if #answer.body <= self.max_body and not answer.truncated then
        local claims = answer.body
        if proof and proof.key then
            claims, reason = dpop.bind(claims, proof.key)
        end
        if claims then
            token, reason = jwt.sign(claims, keys, self.options)
        end
    end
    if not token then
        ngx.log(ngx.ERR, "route_native.auth: the login service's answer cannot be signed: ", reason or "too large")
        return refuse(502)
    end
    if self.cookie then
        cookie.set(self.cookie.name, token, self.cookie)
    end
    count "success"
    if proof then
        return answer_with_token(self, token, proof)
    end
    return response.finish(ngx.HTTP_OK, ('{"token":"%s"}\n'):format(token))
end

-- Counts the attempt, passes the credentials to the backend, and answers the request.
local function attempt(self, keys, headers)
    -- A client that has no nonce yet has not guessed a password.
    local proof = self.dpop and check_proof(self, headers)
    local ticket, wait, is_full
    if self.limit then
        ticket, wait, is_full = self.limit:count_address()
        if not ticket then
            return refuse_attempt(wait, is_full)
        end
    end
    local body, status = login_body.read(self.max_body)
    if not body then
        return refuse(status)
    end
    local user
    user, status = login_body.user(body, self.user_field, login_body.content_type(headers))
    local digest = user and login_body.digest_of(user)
    if status or user and not digest then
        return refuse(status or 400)
    end
    if ticket then
        ticket, wait, is_full = self.limit:count_user(ticket, digest)
        if not ticket then
            return refuse_attempt(wait, is_full)
        end
    end
    local answer = ask_backend(self, body)
    if ticket and (answer.status == ngx.HTTP_OK or answer.status >= 500) then
        self.limit:forgive(ticket)
    end
    if answer.status == ngx.HTTP_OK then
        return grant(self, keys, answer, proof)
    elseif answer.status < 500 then
        count "failure"
    end
    return pass_answer(self, answer)
end

-- Ends a login request with a token or a refusal.
function _M.run(self)
    if self.dpop then
        self.dpop:offer_nonce()
    end
    if request.has_too_many_headers(request.current()) then
        return response.too_many_headers()
    elseif ngx.req.get_method() ~= "POST" then
        ngx.header["Allow"] = "POST"
        return refuse(405)
    end
    if not subrequest.is_possible() then
        -- An unread body resets the HTTP/2 stream before some clients have read the answer.
        pcall(ngx.req.read_body)
        ngx.log(ngx.ERR, "route_native.auth: login() over HTTP/2 needs ", subrequest.NEEDED)
        return refuse(505)
    end
    local keys, err = self.keys()
    if not keys then
        return auth_keys.unavailable(err)
    end
    local headers = ngx.req.get_headers(0)
    if self.cookie and client.is_cross_site(false, self.public_origins) then
        count "cross_site"
        return refuse(403)
    elseif login_body.is_encoded(headers) then
        return refuse(415)
    end
    return attempt(self, keys, headers)
end

return _M
