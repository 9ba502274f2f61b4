-- A gateway whose locations exchange opaque tokens, with an authorization server that follows the directive in each
-- token (introspection_server.mjs). The demo desktop is the API: it answers with the headers that it received.

local cjson = require "cjson.safe"
local mime = require "mime"
local gateway = require "support.gateway"
local http = require "support.http"
local process = require "support.process"

local _M = {}
local phantom = {}
phantom.__index = phantom

local SERVER = gateway.ROOT .. "/spec/support/introspection_server.mjs"

_M.AUTHORIZATION_SERVER = gateway.ROOT .. "/examples/phantom/authorization_server.mjs"

-- Starts a server that prints `ready PORT`. Returns { port, pid, log }.
function _M.serve(command, log)
    local server = { log = log, pid = process.start(command, log) }
    process.wait_until("a server was ready", function()
        server.port = tonumber(process.read(log):match("ready (%d+)"))
        return server.port or not process.alive(server.pid)
    end)
    assert(server.port, process.read(log))
    return server
end

-- Returns a token that tells the server how to answer. `name` distinguishes two such tokens.
function _M.token(directive, name)
    directive.name = name
    return (mime.b64(cjson.encode(directive)):gsub("%+", "-"):gsub("/", "_"):gsub("=", ""))
end

-- As a field's value: omits the field.
_M.ABSENT = {}

-- Returns the configuration of a location, as Lua text.
local function config_text(server, fields)
    local all = {
        introspection_endpoint = ("http://127.0.0.1:%d/introspect"):format(server.port),
        client_id = "introspection-client", client_secret = "s p:%&\195\169",
    }
    for name, value in pairs(fields) do
        all[name] = value
    end
    local parts = {}
    for name, value in pairs(all) do
        if value == _M.ABSENT then
            value = nil
        elseif type(value) == "table" then
            local items = {}
            for key, item in pairs(value) do
                items[#items + 1] = type(key) == "number" and ("%q"):format(item) or ("[%q] = %q"):format(key, item)
            end
            value = "{ " .. table.concat(items, ", ") .. " }"
        elseif type(value) == "string" then
            value = ("%q"):format(value)
        end
        parts[#parts + 1] = name .. " = " .. tostring(value)
    end
    return "{ " .. table.concat(parts, ", ") .. " }"
end

local LOCATION = [[
    location = /%s {
        set $endpoint ""; set $route_cache ""; set $route_token ""; set $route_reason "";
        %s
        rewrite_by_lua_block { require("resty.phantom-token").%s(%s) }
        proxy_pass http://127.0.0.1:$file_service_tcp_port;
        proxy_http_version 1.1;
        client_max_body_size 0;
        proxy_request_buffering off;
    }
]]

local SITE = [[
lua_shared_dict phantom-token 10m;
lua_shared_dict other-name 1m;
%s
server {
    include runtime/listen.conf;
    %s
    include phantom_token.conf;
%s}
server {
    listen 127.0.0.1:%d;
    listen 127.0.0.1:%d http2;
    location / { return 200 "leaked: $http_authorization"; }
%s}
]]

-- options: locations (path to fields of its configuration), functions (path to "run" or "execute"), includes (path to
-- more directives), bare (a function that returns such locations, for a server without phantom_token.conf), listen
-- and http (nginx directives), site (a function that returns more of the server's configuration), tls (a certificate
-- and a key for the server), env.
function _M.start(options)
    local self = setmetatable({ directory = process.temporary_directory() }, phantom)
    self.key = self.directory .. "/signing.pem"
    local output, status = process.run(("openssl genrsa -out %s 2048 && openssl pkey -in %s -pubout -out %s.pub")
        :format(self.key, self.key, self.key))
    assert(status == 0, output)
    local tls = options.tls and (" --tls-cert %s --tls-key %s"):format(options.tls.cert, options.tls.key) or ""
    self.server = _M.serve("node " .. SERVER .. " --key " .. self.key .. tls, self.directory .. "/server.log")
    self.bare_port, self.bare_http2_port = process.free_port(), process.free_port()
    local locations = {}
    local fields_by_path = type(options.locations) == "function" and options.locations(self) or options.locations
    for path, fields in pairs(fields_by_path) do
        local method = options.functions and options.functions[path] or "run"
        local more = options.includes and options.includes[path] or ""
        locations[#locations + 1] = LOCATION:format(path, more, method, config_text(self.server, fields))
    end
    local bare = {}
    for path, fields in pairs(options.bare and options.bare(self) or {}) do
        bare[#bare + 1] = LOCATION:format(path, "", "run", config_text(self.server, fields))
    end
    locations[#locations + 1] = options.site and options.site(self) or ""
    local site = self.directory .. "/site.conf"
    process.write(site, SITE:format(options.http and options.http(self) or "", options.listen or "",
        table.concat(locations), self.bare_port, self.bare_http2_port, table.concat(bare)))
    local env = options.env or {}
    env.SITE = site
    self.gate = assert(gateway.start { env = env, workers = options.workers })
    return self
end

-- Sends a GET with a token that holds the directive; a string is the token itself. `port`: default the gateway's.
function phantom:get(path, directive, headers, port)
    local token = type(directive) == "table" and _M.token(directive, directive.name) or directive
    local list = { token and { "Authorization", "Bearer " .. token } }
    for name, value in pairs(headers or {}) do
        list[#list + 1] = { name, value }
    end
    return http.request(port or self.gate.port, { path = path, headers = list })
end

-- Does the same at the server without phantom_token.conf.
function phantom:get_bare(path, directive)
    return self:get(path, directive, nil, self.bare_port)
end

-- Returns the requests to the server, in order.
function phantom:asked()
    local questions = {}
    for line in process.read(self.server.log):gmatch("[^\n]+") do
        questions[#questions + 1] = cjson.decode(line)
    end
    return questions
end

function phantom:stop()
    self.gate:stop()
    process.stop(self.server.pid)
    process.run("rm -rf " .. self.directory)
end

return _M
