-- A border with its environment: account and auth services, two services, and a session store.

local cjson = require "cjson.safe"
local gateway = require "support.gateway"
local http = require "support.http"
local process = require "support.process"
local stores = require "support.stores"

local _M = {}
local border = {}
border.__index = border

local SERVICES = gateway.ROOT .. "/examples/border/services.py"
_M.FORM = { "Content-Type", "application/x-www-form-urlencoded" }
_M.PAGE = { "Accept", "text/html,application/xhtml+xml" }
_M.GOOD = "username=user%40example.com&password=password"

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

local function start_services(self)
    self.services_log = process.temporary_directory() .. "/services.log"
    self.services_pid = process.start("python3 " .. SERVICES
        .. " --account 0 --auth 0 --service b=0 --service c=0 --control 0", self.services_log)
    local ports = process.wait_until("the services were ready", function()
        return process.read(self.services_log):match("ready ([%d ]+)\n")
    end)
    self.ports = {}
    for _, name in ipairs { "account", "auth", "b", "c", "control" } do
        local port
        port, ports = ports:match("^(%d+) ?(.*)$")
        self.ports[name] = tonumber(port)
    end
end

local function url(port)
    return "http://127.0.0.1:" .. port
end

local function settings_of(self, options)
    local store = { kind = options.store or "memory", address = self.store and self.store.address }
    local settings = {
        account_url = url(self.ports.account), auth_url = url(self.ports.auth), default_path = "/b/", store = store,
        services = {
            b = { path = "/b", url = url(self.ports.b) },
            c = { path = "/c", url = url(self.ports.c) },
            business = { host = "business", url = url(self.ports.b) },
            forbidden = { path = "/never", url = url(self.ports.b) },
        },
    }
    for name, value in pairs(options.settings or {}) do
        if name == "store" then
            for key, member in pairs(value) do
                store[key] = member
            end
        else
            settings[name] = value
        end
    end
    return settings
end

-- Starts everything. options: store (memory, memcached, redis), store_options (command line), settings (further ones),
-- site (nginx configuration), env, server (a running store, which stop() does not stop), beside (another border, whose
-- store and services this one uses too).
function _M.start(options)
    options = options or {}
    local self = setmetatable({}, border)
    if options.beside then
        self.store, self.ports, self.is_guest = options.beside.store, options.beside.ports, true
    else
        if options.server then
            self.store, self.is_lent = options.server, true
        elseif options.store and options.store ~= "memory" then
            self.store = stores.start(options.store, options.store_options)
        end
        start_services(self)
    end
    local env = { SITE = gateway.ROOT .. "/examples/border/site.conf" }
    for name, value in pairs(options.env or {}) do
        env[name] = value
    end
    local running, refusal = gateway.start {
        demo = false, env = env, keys = { signing_public = false, payload_private = false },
        prepare = function(started)
            process.run("mkdir -p " .. started.directory .. "/etc")
            process.write(started.directory .. "/etc/border.lua", "return " .. literal(settings_of(self, options)))
            if options.site then
                process.write(started.directory .. "/site.conf", options.site)
                started.environment.SITE = started.directory .. "/site.conf"
            end
        end,
    }
    if not running then
        self:stop()
        return nil, refusal
    end
    self.gateway, self.port = running, running.port
    return self
end

function border:stop()
    if self.gateway then
        self.gateway:stop()
    end
    if self.is_guest then
        return
    end
    process.stop(self.services_pid)
    process.run("rm -rf " .. process.quoted(self.services_log:match("^.*/")))
    if self.store and not self.is_lent then
        self.store:stop()
    end
end

-- Sends the services a control request (services.py). Returns the number of calls of each.
function border:control(path)
    return cjson.decode(http.request(self.ports.control, { method = "POST", path = path }).body)
end

-- Returns the number of a service's calls since the last reset.
function border:count(service)
    return self:control("/counts")[service] or 0
end

-- Makes a service fail, until it is called with "ok".
function border:fault(service, mode)
    self:control(("/fault?service=%s&mode=%s"):format(service, mode))
end

-- Returns a counter of the metrics page.
function border:counter(name)
    local metric = "border_" .. name:gsub("%.", "_") .. "_total"
    local page = http.request(self.port, { path = "/borderpatrol/metrics" }).body
    return tonumber(page:match("\n" .. metric .. " (%d+)"))
end

-- Returns a client of the border that keeps its cookies.
local client = {}
client.__index = client

function border:client()
    return setmetatable({ border = self, cookies = {} }, client)
end

local function keep_cookies(self, header)
    -- Several Set-Cookie headers are joined by ", ", which the border's own never contain.
    for cookie in (header or ""):gmatch("[^,]+") do
        local name, value = cookie:match("^%s*([^=]+)=([^;]*)")
        self.cookies[name] = not cookie:find("Max-Age=0", 1, true) and value or nil
    end
end

-- Sends a request with the cookies. options as for support.http, and host.
function client:request(options)
    local headers = { { "Host", options.host or "border.test" } }
    for _, header in ipairs(options.headers or {}) do
        headers[#headers + 1] = header
    end
    local pairs_of = {}
    for name, value in pairs(self.cookies) do
        pairs_of[#pairs_of + 1] = name .. "=" .. value
    end
    if #pairs_of > 0 then
        headers[#headers + 1] = { "Cookie", table.concat(pairs_of, "; ") }
    end
    local response = http.request(self.border.port, {
        method = options.method, path = options.path, body = options.body, headers = headers,
    })
    if response then
        keep_cookies(self, response.headers["set-cookie"])
    end
    return response
end

-- Sends a script's GET.
function client:get(path)
    return self:request { path = path }
end

-- Sends a browser's navigation.
function client:visit(path)
    return self:request { path = path, headers = { _M.PAGE } }
end

-- Sends the login form.
function client:login(body, headers)
    local all = { _M.FORM }
    for _, header in ipairs(headers or {}) do
        all[#all + 1] = header
    end
    return self:request { method = "POST", path = "/account/login", body = body or _M.GOOD, headers = all }
end

-- Returns a client that is logged in.
function border:logged_in()
    local one = self:client()
    local response = one:login()
    assert(response.status == 303, "the login answered " .. response.status)
    return one
end

-- Returns the session's id.
function client:session()
    return self.cookies.border_session
end

return _M
