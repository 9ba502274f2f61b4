-- A gateway with OpenID Connect, its provider (examples/oidc/provider.mjs) and an API, and a browser without scripts
-- that keeps cookies by host and fills in the provider's forms. The provider is at `localhost`, and the gateway at
-- 127.0.0.1, so that they are two sites.

local cjson = require "cjson.safe"
local gateway = require "support.gateway"
local http = require "support.http"
local mime = require "mime"
local process = require "support.process"
local stores = require "support.stores"

local _M = {}
local oidc = {}
oidc.__index = oidc

local EXAMPLE = gateway.ROOT .. "/examples/oidc/"
local PAGE = { "Accept", "text/html,application/xhtml+xml" }

-- Returns Lua source for a value of the settings.
local function literal(value)
    if type(value) ~= "table" then
        return type(value) == "string" and ("%q"):format(value) or tostring(value)
    end
    local members = {}
    for key, member in pairs(value) do
        members[#members + 1] = ("[%s] = %s"):format(literal(key), literal(member))
    end
    return "{ " .. table.concat(members, ", ") .. " }"
end

-- Starts a program that prints `ready PORT…`. Returns its ports and its process id.
local function serve(command, log)
    local pid = process.start(command, log)
    local ports = process.wait_until("a server was ready: " .. command:sub(1, 60), function()
        return process.read(log):match("ready ([%d ]+)\n") or not process.alive(pid)
    end)
    assert(process.alive(pid), process.read(log))
    local list = {}
    for port in ports:gmatch("%d+") do
        list[#list + 1] = tonumber(port)
    end
    return list, pid
end

-- Returns a table with the members of others, of which later ones override.
local function merged(...)
    local all = {}
    for _, one in ipairs { ... } do
        for name, value in pairs(one) do
            all[name] = value
        end
    end
    return all
end

local function start_provider(self, options)
    local port = process.free_port()
    self.planned_port = port
    local ports
    local tls = options.tls
    local origin = tls and "https://127.0.0.1:" .. tls.port or "http://127.0.0.1:" .. port
    ports, self.provider_pid = serve(("node %sprovider.mjs --gateway %s --options %s %s"):format(EXAMPLE, origin,
        process.quoted(cjson.encode(options.provider_options or cjson.decode("{}"))),
        tls and ("--tls-cert %s --tls-key %s"):format(tls.cert, tls.key) or ""), self.directory .. "/provider.log")
    self.provider_port, self.control_port = ports[1], ports[2]
    self.issuer = (tls and "https" or "http") .. "://localhost:" .. self.provider_port
end

local function gate_settings(self, options)
    local store = { kind = options.store or "memory", address = self.store and self.store.address }
    return merged({
        providers = { id = merged({
            issuer = self.issuer, client_id = "gateway", client_secret = "Gateway-secret-of-the-example-1",
            scope = "openid email profile", userinfo = true,
        }, options.provider or {}) },
        policies = {
            default = { access_token = true, headers = { ["X-Auth-User"] = "sub", ["X-Auth-Email"] = "email",
                ["X-Auth-Name"] = "name" } },
            admin = { acr = "urn:strong", max_age = 600, headers = { ["X-Auth-User"] = "sub" } },
            quiet = { headers = { ["X-Auth-User"] = "sub" } },
        },
        callback_path = "/app/callback", default_path = "/app", cookie_secure = false, store = store,
    }, options.settings and options.settings(self) or {})
end

local function write_files(self, directory, options)
    process.run("mkdir -p " .. directory .. "/etc")
    process.write(directory .. "/etc/oidc.lua", "return " .. literal {
        gate = gate_settings(self, options),
        api = { introspection_endpoint = self.issuer .. "/token/introspection", client_id = "introspection-client",
            client_secret = "Password1", scope = "read", headers = { ["X-Auth-Client"] = "client_id" } },
    })
    process.write(directory .. "/etc/oidc_upstream.conf",
        ("upstream api { server 127.0.0.1:%d; keepalive 16; }\n"):format(self.api_port))
    local site = process.read(EXAMPLE .. "site.conf")
    site = (options.site and options.site(site) or site):gsub("@ISSUER@", self.issuer)
    process.write(directory .. "/site.conf", site)
end

-- Starts everything. options: store, provider_options (provider.mjs), provider and settings (a function) override those
-- of the gate, site (a function that returns a changed site), issuer (another server in place of the provider), beside
-- (another one, whose store, provider and API this one uses too), tls ({ cert, key, port }: the provider has TLS, and
-- knows the gateway by https and that port), workers, env.
function _M.start(options)
    options = options or {}
    local self = setmetatable({ directory = process.temporary_directory() }, oidc)
    if options.beside then
        local other = options.beside
        self.store, self.api_port, self.issuer, self.is_guest = other.store, other.api_port, other.issuer, true
        self.provider_port, self.control_port = other.provider_port, other.control_port
    else
        if options.store and options.store ~= "memory" then
            self.store = stores.start(options.store)
        end
        local ports
        ports, self.api_pid = serve("node " .. EXAMPLE .. "api.mjs", self.directory .. "/api.log")
        self.api_port = ports[1]
        if options.issuer then
            self.issuer = options.issuer
        else
            start_provider(self, options)
        end
    end
    local site_directory
    local running, refusal = gateway.start {
        demo = false, workers = options.workers, keys = { signing_public = false, payload_private = false },
        env = options.env, listen = self.planned_port and "127.0.0.1:" .. self.planned_port or nil,
        prepare = function(started)
            site_directory = started.directory
            write_files(self, site_directory, options)
            started.environment.SITE = site_directory .. "/site.conf"
        end,
    }
    if not running then
        self:stop()
        return nil, refusal
    end
    self.gateway, self.port = running, self.planned_port or running.port
    self.origin = "http://127.0.0.1:" .. self.port
    return self
end

function oidc:stop()
    if self.gateway then
        self.gateway:stop()
    end
    if not self.is_guest then
        process.stop(self.api_pid)
        if self.provider_pid then
            process.stop(self.provider_pid)
        end
        if self.store then
            self.store:stop()
        end
    end
    process.run("rm -rf " .. process.quoted(self.directory))
end

-- Sends the provider a control request (provider.mjs).
function oidc:control(path)
    return cjson.decode(http.request(self.control_port, { method = "POST", path = path }).body)
end

-- Makes an endpoint of the provider fail, until it is called with "ok".
function oidc:fault(path, mode)
    self:control(("/fault?path=%s&mode=%s"):format(path, mode))
end

-- Returns a counter of the gateway.
function oidc:counter(name)
    local page = http.request(self.port, { path = "/oidc/metrics" }).body
    return tonumber(page:match("\noidc_" .. name:gsub("%.", "_") .. "_total (%d+)"))
end

local browser = {}
browser.__index = browser

-- Returns a browser without cookies.
function oidc:browser()
    return setmetatable({ oidc = self, jars = {} }, browser)
end

local function keep_cookies(jar, header)
    -- Several Set-Cookie headers are joined by ", ". Dates have one too.
    header = (header or ""):gsub("([Ee]xpires=%a+), ", "%1 ")
    for cookie in header:gmatch("[^,]+") do
        local name, value = cookie:match("^%s*([^=]+)=([^;]*)")
        local is_over = cookie:find("Max-Age=0", 1, true) or cookie:find("1970", 1, true)
        if name then
            jar[name] = not is_over and value ~= "" and value or nil
        end
    end
end

-- Sends a request to a URL of the gateway or the provider, or to a path of the gateway, with the cookies of its host.
-- options: method, body, headers, form (a table).
function browser:fetch(url, options)
    options = options or {}
    local host, port, path = url:match("^http://([%w.]+):(%d+)(.*)$")
    if not host then
        host, port, path = "127.0.0.1", self.oidc.port, url
    end
    local origin = host .. ":" .. port
    -- Cookies do not know ports (RFC 6265 §8.5).
    self.jars[host] = self.jars[host] or {}
    local jar, headers = self.jars[host], { { "Host", origin } }
    for _, header in ipairs(options.headers or {}) do
        headers[#headers + 1] = header
    end
    local cookies = {}
    for name, value in pairs(jar) do
        cookies[#cookies + 1] = name .. "=" .. value
    end
    if #cookies > 0 then
        headers[#headers + 1] = { "Cookie", table.concat(cookies, "; ") }
    end
    if options.form then
        headers[#headers + 1] = { "Content-Type", "application/x-www-form-urlencoded" }
    end
    local response = assert(http.request(tonumber(port), {
        method = options.method or options.form and "POST", path = path == "" and "/" or path,
        body = options.form or options.body, headers = headers,
    }))
    keep_cookies(jar, response.headers["set-cookie"])
    local location = response.headers.location
    response.location = location and (location:find("^/") and "http://" .. origin .. location or location)
    response.url = url
    return response
end

-- Opens a page.
function browser:visit(url)
    return self:fetch(url, { headers = { PAGE } })
end

-- Sends a script's request.
function browser:get(path)
    return self:fetch(path)
end

-- Follows redirects within the provider, filling in its forms, until it sends the user elsewhere or shows another page.
-- user: the user's name and password; `false` cancels. Returns the last answer.
function browser:at_provider(response, user)
    for _ = 1, 20 do
        local action = response.body:match('action="(/interaction/[%w_-]+/%w+)"')
        if response.location and response.location:find(self.oidc.issuer, 1, true) == 1 then
            response = self:visit(response.location)
        elseif not response.location and action then
            if user == false then
                action = action:gsub("%w+$", "abort")
            end
            response = self:fetch(self.oidc.issuer .. action, { headers = { PAGE },
                form = ("login=%s&password=%s"):format(user or "", user or "") })
        else
            return response
        end
    end
    error("the provider redirects without end")
end

-- Opens a page of the gateway, and goes through the provider. Returns the URL of the callback.
function browser:to_callback(path, user)
    local response = self:visit(path or "/app")
    assert(response.status == 302, response.status .. " " .. response.body)
    response = self:at_provider(response, user == nil and "demo" or user)
    return response.location or error("the provider answered " .. response.status .. " " .. response.body)
end

-- Logs in. Returns the answer of the callback.
function browser:login(path, user)
    return self:visit(self:to_callback(path, user))
end

-- Returns the session's id.
function browser:session()
    return self:cookies().oidc_session
end

-- Returns the cookies of the gateway by name.
function browser:cookies()
    self.jars["127.0.0.1"] = self.jars["127.0.0.1"] or {}
    return self.jars["127.0.0.1"]
end

-- Returns a browser that is logged in.
function oidc:logged_in(user)
    local one = self:browser()
    local response = one:login("/app", user)
    assert(response.status == 302 or response.status == 303, response.status .. " " .. response.body)
    assert(one:session(), "no session")
    return one
end

-- Starts evil_provider.mjs. Returns { issuer, port, stop() }.
function _M.evil()
    local directory = process.temporary_directory()
    local ports, pid = serve("node " .. gateway.ROOT .. "/spec/support/evil_provider.mjs", directory .. "/log")
    return {
        issuer = "http://localhost:" .. ports[1], port = ports[1],
        stop = function()
            process.stop(pid)
            process.run("rm -rf " .. directory)
        end,
        -- Returns a token that it signs by a directive.
        mint = function(directive)
            return http.request(ports[1], { method = "POST", path = "/mint", body = cjson.encode(directive) }).body
        end,
        counts = function()
            return cjson.decode(http.request(ports[1], { method = "POST", path = "/counts" }).body)
        end,
        set = function(name, value)
            http.request(ports[1], { path = "/metadata?" .. name .. "=" .. value })
        end,
    }
end

-- Returns a directive as the code or the refresh token that evil_provider.mjs reads.
function _M.directive(directive)
    return (mime.b64(cjson.encode(directive)):gsub("[+/=]", { ["+"] = "-", ["/"] = "_", ["="] = "" }))
end

-- Begins a login at the evil provider, and calls the callback with a code that is a directive. Its nonce is the right
-- one, unless the directive has another.
function browser:evil_login(directive, path)
    local location = self:visit(path or "/app").location
    local state, nonce = location:match("[?&]state=([%w_-]+)"), location:match("[?&]nonce=([%w_-]+)")
    directive.nonce = directive.nonce or nonce
    return self:visit("/app/callback?code=" .. _M.directive(directive) .. "&state=" .. state), nonce
end

-- Returns what the API received, of its answer.
function _M.received(response)
    assert(response.status == 200, response.status .. " " .. response.body)
    return cjson.decode(response.body)
end

return _M
