-- The common part of the specs of the JWT toolkit: an nginx that runs Lua of a request, two keys of every kind, and
-- tokens that PyJWT signs with them.

local auth = require "support.auth"
local cjson = require "cjson"
local gateway = require "support.gateway"
local http = require "support.http"
local process = require "support.process"
local token = require "support.token"

-- /eval runs the Lua in a request, and answers with its results as JSON. read() reads the files of keys/.
local SITE = [[
init_by_lua_block {
    jwt = require "route_native.jwt"
    resty = require "route_native.resty_jwt"
    validators = require "route_native.resty_jwt_validators"
    function read(name)
        local file = assert(io.open(ngx.config.prefix() .. "../keys/" .. name))
        local text = file:read("*a")
        file:close()
        return text
    end
    INIT
}
server {
    include runtime/listen.conf;
    set $endpoint ""; set $route_uri ""; set $route_cache ""; set $route_token ""; set $route_reason "";
    location = /eval {
        client_body_buffer_size 1m;
        content_by_lua_block {
            ngx.req.read_body()
            local chunk = assert(loadstring(ngx.req.get_body_data()))
            local results = { pcall(chunk) }
            for i = 1, 5 do results[i] = results[i] == nil and ngx.null or results[i] end
            ngx.print(require("cjson").encode(results))
        }
    }
    LOCATIONS
}
]]

local KINDS = { "RSA", "P-256", "P-384", "P-521", "secp256k1", "ED25519" }

local _M = {}
local toolkit = {}
toolkit.__index = toolkit

-- Every algorithm with its kind of key.
_M.ALGORITHMS = {
    { "HS256", "hmac" }, { "HS384", "hmac" }, { "HS512", "hmac" },
    { "RS256", "RSA" }, { "RS384", "RSA" }, { "RS512", "RSA" },
    { "PS256", "RSA" }, { "PS384", "RSA" }, { "PS512", "RSA" },
    { "ES256", "P-256" }, { "ES384", "P-384" }, { "ES512", "P-521" }, { "ES256K", "secp256k1" }, { "EdDSA", "ED25519" },
}

-- Makes two keys of each kind: `own` and `other`, each private (.pem) and public (.pub).
local function make_keys(directory)
    local commands = {}
    for _, kind in ipairs(KINDS) do
        local options = kind == "RSA" and "RSA -pkeyopt rsa_keygen_bits:2048" or kind == "ED25519" and kind
            or "EC -pkeyopt ec_paramgen_curve:" .. kind
        for _, name in ipairs { "own", "other" } do
            local path = ("%s/keys/%s_%s"):format(directory, kind, name)
            commands[#commands + 1] = ("openssl genpkey -algorithm %s -out %s.pem 2>/dev/null"):format(options, path)
            commands[#commands + 1] = ("openssl pkey -in %s.pem -pubout -out %s.pub"):format(path, path)
        end
    end
    local output, status = process.run("set -e\n" .. table.concat(commands, "\n"))
    assert(status == 0, output)
    for _, name in ipairs { "own", "other" } do
        process.write(("%s/keys/hmac_%s.pem"):format(directory, name), name .. ("s"):rep(70))
    end
end

-- Starts nginx. options: init (Lua for init_by_lua), locations (nginx configuration), workers (2), and prepare, a
-- function that gets the returned object before nginx starts.
function _M.start(options)
    options = options or {}
    local self = setmetatable({ directory = auth.directory() }, toolkit)
    make_keys(self.directory)
    if options.prepare then
        options.prepare(self)
    end
    local values = { INIT = options.init or "", LOCATIONS = options.locations or "" }
    process.write(self.directory .. "/site.conf", (SITE:gsub("%u%u%u%u+", values)))
    self.gateway = assert(gateway.start { directory = self.directory, demo = false, workers = options.workers,
        keys = { signing_public = "/none", payload_private = "/none" },
        env = { SITE = self.directory .. "/site.conf" } })
    self.port = self.gateway.port
    return self
end

function toolkit:stop()
    self.gateway:stop()
end

-- Runs Lua in nginx, where `a` is the list of arguments. Returns its results.
function toolkit:eval(lua, ...)
    local arguments = cjson.encode({ ... })
    local body = ("local a = require('cjson').decode(%q)\n%s"):format(arguments, lua)
    local response = http.request(self.port, { method = "POST", path = "/eval", body = body })
    assert(response.status == 200, response.body)
    local results = cjson.decode(response.body)
    assert(results[1] == true, tostring(results[2]))
    for i = 2, 5 do
        if results[i] == cjson.null then results[i] = nil end
    end
    return unpack(results, 2, 5)
end

-- Returns the file of a private key or secret.
function toolkit:path_of(kind, name)
    return ("%s/keys/%s_%s.pem"):format(self.directory, kind, name or "own")
end

-- Returns the text of the verifying key: a public key or a secret.
function toolkit:key_of(kind, name)
    local path = self:path_of(kind, name)
    return process.read(kind == "hmac" and path or (path:gsub("pem$", "pub")))
end

-- Signs a list of { claims, alg, kind, name, header } with PyJWT.
function toolkit:mint_all(list)
    local requests = {}
    for i, item in ipairs(list) do
        requests[i] = { claims = item.claims, alg = item.alg, key = self:path_of(item.kind, item.name),
            header = item.header }
    end
    return token.mint_all({}, requests)
end

return _M
