-- The admin API: reads and changes the revocations, with JSON (conf/admin.conf).
--
-- | request                      | answer                                                                            |
-- |------------------------------|-----------------------------------------------------------------------------------|
-- | GET /revocations?below=&limit= | 200 {"revocations":[…],"below":N}: the newest first; N continues the list        |
-- | POST /revocations            | 201 {"id":N}; 400 with a sentence; 507 if the dictionary is full                  |
-- | DELETE /revocations/N        | 204, or 404                                                                       |
-- | GET /metrics                 | 200, the text of Prometheus; 503 without the dictionary `metrics`                 |
-- | GET /, GET /status.json      | 200, the status page and what it shows besides                                    |
--
-- The address of the server protects what can be read. A change also needs an admin token, and with
-- ROUTE_ADMIN_CLIENT_CA a client certificate: 401 or 403 without them.
-- Every change is a line of the audit log, without tokens.

local auth_check = require "route_native.auth.check"
local cjson = require "cjson.safe"
local config = require "route_native.core.config"
local login_body = require "route_native.core.login_body"
local metrics = require "route_native.control.metrics"
local page = require "route_native.control.page"
local response = require "route_native.core.response"
local revocation = require "route_native.revocation"

local ngx = ngx
local find, match, sub = string.find, string.match, string.sub

local OWNER = "route_native.control: admin"
local MAX_BODY = 32768
local MAX_AUTHOR_BYTES = 64
local SCOPE = "route_native.admin"

local ROWS = {
    { "key_file", config.text(), variable = "ROUTE_ADMIN_KEY" },
    { "issuer", config.text(), variable = "ROUTE_ADMIN_ISSUER" },
    { "audience", config.text(), variable = "ROUTE_ADMIN_AUDIENCE" },
    { "client_ca", config.text(), variable = "ROUTE_ADMIN_CLIENT_CA" },
    { "hosts", config.words("^[%w._-]+$", "names of hosts with blanks between"), variable = "ROUTE_ADMIN_HOSTS" },
}

local NO_KEY = response.json("forbidden", "Changes need an admin token, and ROUTE_ADMIN_KEY names no key for it")
local NO_CERTIFICATE = response.json("forbidden", "Changes need a client certificate of ROUTE_ADMIN_CLIENT_CA")
local NOT_FOUND = response.json("not_found", "There is no such revocation")
local NOT_ALLOWED = response.json("method_not_allowed", "The method is not allowed here")
local TOO_LARGE = response.json("too_large", "The body is too large")
local BAD_TYPE = response.json("unsupported_media_type", "The body must be application/json")
local FULL = response.json("insufficient_storage", "The dictionary of revocations is full")
local MISDIRECTED = response.json("misdirected_request", "ROUTE_ADMIN_HOSTS does not name this host")

-- The check of changes, whether they also need a client certificate, and the names of hosts that lead here. A site that
-- never calls setup() has none.
local guard, needs_certificate, hosts = nil, false, { localhost = true }

local _M = {}

-- Reads the settings, and the key while the master may. Raises an error about a mistake.
function _M.setup()
    local values = config.read(OWNER, ROWS, {})
    -- Not by auth.prepare_check(): /readyz need not wait for this key.
    guard = values.key_file and auth_check.read {
        key_file = values.key_file, scope = SCOPE, token = "header", realm = "route_native admin",
        policy = { issuer = values.issuer, audience = values.audience, max_lifetime = 30 * 86400 },
    } or nil
    needs_certificate = values.client_ca ~= nil
    for _, name in ipairs(values.hosts or {}) do
        hosts[name:lower()] = true
    end
    page.setup()
end

-- Returns whether the request names a host of ours: an address, localhost, or a listed one. A page in a browser can
-- make its own host's name lead here (DNS rebinding), but not its address. At a unix socket, to which ssh may forward a
-- browser, any name without a dot is good too: such a page has none.
local function is_ours()
    local host = ngx.var.host
    return hosts[host] or match(host, "^[%d.]+$") or match(host, "^%[")
        or sub(ngx.var.server_addr, 1, 5) == "unix:" and not find(host, ".", 1, true)
end

local function finish(status, value)
    return response.finish(status, cjson.encode(value) .. "\n")
end

-- Returns the claims of the admin token, or ends the request. nginx has verified the certificate (runtime/admin.conf).
local function admit()
    local refusal = not guard and NO_KEY
        or needs_certificate and ngx.var.ssl_client_verify ~= "SUCCESS" and NO_CERTIFICATE
    if refusal then
        response.finish(ngx.HTTP_FORBIDDEN, refusal)
        return nil
    end
    return auth_check.run(guard)
end

-- Returns who an admin token is of, for the audit log and the list. A longer name is cut.
local function author(claims)
    return type(claims.sub) == "string" and claims.sub ~= "" and sub(claims.sub, 1, MAX_AUTHOR_BYTES) or "?"
end

-- Notes who changed what, for the audit log.
local function audit(claims, act, subject)
    ngx.var.admin_who = author(claims)
    ngx.var.admin_act, ngx.var.admin_subject = act, subject
end

-- Returns the kind and the name of a stored revocation, for the audit log. The name of a token is its SHA-256.
local function subject_of(record)
    for _, name in ipairs { "token_sha256", "jti", "sub", "sid", "target", "kid" } do
        if record[name] then
            return name .. " " .. record[name]
        end
    end
    return ""
end

local function list()
    local arguments = ngx.req.get_uri_args(10)
    local found, below = revocation.list(tonumber(arguments.below), tonumber(arguments.limit))
    local items = {}
    for i, record in ipairs(found) do
        items[i] = cjson.encode(record)
    end
    -- cjson would write an empty list as an object.
    local more = below and (',"below":%d'):format(below) or ""
    return response.finish(ngx.HTTP_OK, ('{"revocations":[%s]%s}\n'):format(table.concat(items, ","), more))
end

local function create()
    if not match(ngx.var.content_type or "", "^application/json%f[;%s%z]") then
        return response.finish(415, BAD_TYPE)
    end
    local claims = admit()
    local body = claims and login_body.read(MAX_BODY)
    if not claims then
        return
    elseif not body then
        return response.finish(413, TOO_LARGE)
    end
    local number, result = revocation.revoke(body, author(claims))
    if number then
        audit(claims, "revoke " .. number, subject_of(result))
        return finish(ngx.HTTP_CREATED, { id = number })
    elseif result == "no memory" then
        return response.finish(507, FULL)
    end
    return finish(ngx.HTTP_BAD_REQUEST, { code = "bad_request", message = result })
end

local function withdraw(number)
    local claims = admit()
    if not claims then
        return
    end
    local done = revocation.withdraw(tonumber(number))
    if done then
        audit(claims, "withdraw " .. number, "")
        return ngx.exit(ngx.HTTP_NO_CONTENT)
    elseif done == nil then
        return response.finish(507, FULL)
    end
    return response.finish(ngx.HTTP_NOT_FOUND, NOT_FOUND)
end

local function refuse_method(allowed)
    ngx.header["Allow"] = allowed
    return response.finish(405, NOT_ALLOWED)
end

-- Answers /metrics. Runs in the content phase.
function _M.metrics()
    if not is_ours() then
        return response.finish(421, MISDIRECTED)
    end
    local method = ngx.req.get_method()
    if method ~= "GET" and method ~= "HEAD" then
        return refuse_method "GET, HEAD"
    end
    return metrics.answer()
end

-- Answers /revocations and what is below it. Runs in the content phase.
function _M.revocations()
    if not is_ours() then
        return response.finish(421, MISDIRECTED)
    end
    local number, method = match(ngx.var.uri, "^/revocations/(%d+)$"), ngx.req.get_method()
    if number and #number <= 15 then
        return method == "DELETE" and withdraw(number) or method ~= "DELETE" and refuse_method "DELETE"
    elseif ngx.var.uri ~= "/revocations" then
        return response.finish(ngx.HTTP_NOT_FOUND, NOT_FOUND)
    elseif method == "GET" or method == "HEAD" then
        return list()
    elseif method == "POST" then
        return create()
    end
    return refuse_method "GET, HEAD, POST"
end

-- Answers / with the status page, and /status.json. `version` is the release. Runs in the content phase.
function _M.status(version)
    local method = ngx.req.get_method()
    if not is_ours() then
        return response.finish(421, MISDIRECTED)
    elseif method ~= "GET" and method ~= "HEAD" then
        return refuse_method "GET, HEAD"
    elseif ngx.var.uri == "/" then
        return page.answer()
    end
    return page.data(version, guard ~= nil)
end

return _M
