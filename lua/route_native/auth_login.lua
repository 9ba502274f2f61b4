-- login(): hands the request to an internal location that knows the users, and signs what it says of them. auth.lua
-- documents the configuration.
--
-- | status  | when                                                                       |
-- |---------|----------------------------------------------------------------------------|
-- | 200     | the backend said 200: {"token": …}, the backend's JSON with iat, exp, iss, jti |
-- | 400     | the body could be read in two ways, such as one that names the user twice, or not as its type says |
-- | 405     | not a POST                                                                 |
-- | 411, 413 | the body's length is unknown over HTTP/2; it is larger than max_body      |
-- | 429     | too many failed attempts; Retry-After says when to come back                |
-- | 502     | the backend's 200 is no JSON object, or too large                          |
-- | 503     | the keys cannot be read                                                    |
-- | 505     | HTTP/2, on a lua-nginx-module before 0.10.28, which cannot do subrequests there |
-- | other   | the backend's own, with its body                                           |

local auth_keys = require "route_native.auth_keys"
local fields_of = require("route_native.fields").of
local jwt = require "route_native.jwt"
local login_body = require "route_native.login_body"
local rate_limit = require "route_native.rate_limit"
local response = require "route_native.response"

local ngx = ngx

-- The first lua-nginx-module whose subrequests work over HTTP/2.
local SUBREQUESTS_OVER_HTTP2 = 10028
local MESSAGES = {
    [400] = '{"code":"bad_request","message":"The body is not of its type, or names the user twice"}\n',
    [405] = '{"code":"method_not_allowed","message":"Log in with POST"}\n',
    [411] = '{"code":"length_required","message":"The length of the body is not known"}\n',
    [413] = '{"code":"body_too_large","message":"The body is too large"}\n',
    [429] = '{"code":"too_many_attempts","message":"Too many attempts, try again later"}\n',
    [502] = '{"code":"bad_gateway","message":"The login service gave no answer that can be used"}\n',
    [505] = '{"code":"http_version_not_supported","message":"Log in over HTTP/1.1"}\n',
}
-- What of the backend's answer reaches the client when it is no 200.
local PASSED_ON = { "Content-Type", "WWW-Authenticate", "Retry-After", "Location" }
-- What of the client's request would make the backend's answer something else than its JSON.
local NOT_FOR_THE_BACKEND = { "Accept-Encoding", "Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since",
    "If-Unmodified-Since" }

local _M = {}

local function cookie_of(fields)
    local given = fields:take("cookie", "table")
    if not given then
        return nil
    end
    local nested = fields_of(given, fields.owner .. ": cookie")
    local cookie = {
        name = nested:text("name", "^[%w_-]+$", "letters, digits, _ and -", "token"),
        path = nested:text("path", "^/[^;,%s]*$", "a path", "/"),
        domain = nested:text("domain", "^[%w.-]+$", "a host name"),
        same_site = nested:text("same_site", "^%a+$", "Strict, Lax or None", "Lax"),
        secure = nested:take("secure", "boolean", true),
    }
    nested:finish()
    if not ({ Strict = true, Lax = true, None = true })[cookie.same_site] then
        nested:fail('the field "same_site" must be Strict, Lax or None')
    elseif cookie.same_site == "None" and not cookie.secure then
        nested:fail('a cookie with "same_site" None must be secure')
    end
    return cookie
end

function _M.read(config)
    local fields = fields_of(config, "route_native.auth: login()")
    local self = {
        keys = auth_keys.read(fields),
        backend = fields:text("backend", "^/%S*$", "an internal location that begins with /")
            or fields:fail('the field "backend" is needed'),
        user_field = fields:text("user_field", ".", "a name", "username"),
        max_body = fields:number("max_body", 1, 1048576, 65536),
        limit = rate_limit.read(fields),
        cookie = cookie_of(fields),
    }
    self.issue = {
        issuer = fields:text("issuer", ".", "a text") or fields:fail('the field "issuer" is needed'),
        lifetime = fields:number("lifetime", 1, 366 * 86400, 3600),
        algorithm = fields:text("algorithm", "^%w+$", "the name of an algorithm"),
        jti = true,
    }
    fields:finish()
    local keys = self.keys()
    if keys then
        -- A key that cannot sign, or not so, is found now and not at the first login.
        fields:try(jwt.sign, {}, keys, self.issue)
    end
    return self
end

local function refuse(status)
    return response.finish(status, MESSAGES[status])
end

local function ask_backend(self, body)
    for _, name in ipairs(NOT_FOR_THE_BACKEND) do
        ngx.req.clear_header(name)
    end
    return ngx.location.capture(self.backend, { method = ngx.HTTP_POST, body = body })
end

local function pass_on(self, result)
    local status = result.status
    -- An answer without a body counts as truncated too: what nginx says itself, such as `return 403`.
    local cut_short = result.truncated and (#result.body > 0 or status == 502)
    if status < 200 or #result.body > self.max_body or cut_short then
        return refuse(502)
    end
    for _, name in ipairs(PASSED_ON) do
        ngx.header[name] = result.header[name]
    end
    ngx.header["Cache-Control"] = "no-store"
    ngx.status = status
    ngx.print(result.body)
    return ngx.exit(status)
end

local function set_cookie(self, token)
    local cookie = self.cookie
    local parts = { cookie.name .. "=" .. token, "Path=" .. cookie.path, "Max-Age=" .. self.issue.lifetime, "HttpOnly",
        "SameSite=" .. cookie.same_site }
    if cookie.secure then
        parts[#parts + 1] = "Secure"
    end
    if cookie.domain then
        parts[#parts + 1] = "Domain=" .. cookie.domain
    end
    ngx.header["Set-Cookie"] = table.concat(parts, "; ")
end

local function grant(self, keys, result)
    local token, reason
    if #result.body <= self.max_body and not result.truncated then
        token, reason = jwt.sign(result.body, keys, self.issue)
    end
    if not token then
        ngx.log(ngx.ERR, "route_native.auth: the login service's answer cannot be signed: ", reason or "too large")
        return refuse(502)
    end
    if self.cookie then
        set_cookie(self, token)
    end
    return response.finish(ngx.HTTP_OK, ('{"token":"%s"}\n'):format(token))
end

function _M.run(self)
    if ngx.req.get_method() ~= "POST" then
        ngx.header["Allow"] = "POST"
        return refuse(405)
    end
    if ngx.req.http_version() >= 2 and ngx.config.ngx_lua_version < SUBREQUESTS_OVER_HTTP2 then
        -- Left unread, the body would end the stream before some clients have seen the answer.
        pcall(ngx.req.read_body)
        ngx.log(ngx.ERR, "route_native.auth: login() over HTTP/2 needs lua-nginx-module 0.10.28 (OpenResty 1.27.1.2)")
        return refuse(505)
    end
    local keys, why = self.keys()
    if not keys then
        return auth_keys.unavailable(why)
    end
    local body, status = login_body.read(self.max_body)
    if not body then
        return refuse(status)
    end
    local user
    user, status = login_body.user(body, self.user_field, ngx.req.get_headers(0)["content-type"])
    if status then
        return refuse(status)
    end
    local ticket, wait
    if self.limit then
        ticket, wait = self.limit:count(user)
        if not ticket then
            ngx.header["Retry-After"] = wait
            return refuse(429)
        end
    end
    local result = ask_backend(self, body)
    if ticket and (result.status == ngx.HTTP_OK or result.status >= 500) then
        self.limit:forgive(ticket)
    end
    if result.status == ngx.HTTP_OK then
        return grant(self, keys, result)
    end
    return pass_on(self, result)
end

return _M
