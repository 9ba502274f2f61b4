-- The common part of the specs of tokens and logins: a gateway with a spec's own site and a demo backend.

local gateway = require "support.gateway"
local http = require "support.http"
local mint = require "support.token"
local process = require "support.process"

local _M = { SECRET = ("0123456789abcdef"):rep(2) }

-- Starts the demo login backend and upstream. Returns its environment and its process id.
function _M.backend(directory)
    local login, upstream = process.free_port(), process.free_port()
    local log = directory .. "/demo.log"
    local pid = process.start(("%s/target/release/demo-desktop --login %d --only-first %d")
        :format(gateway.ROOT, login, upstream), log)
    process.wait_until("the demo backend was ready", function()
        return process.read(log):find("ready", 1, true) or not process.alive(pid)
    end)
    if not process.alive(pid) then
        -- Another process took one of the ports in between.
        return _M.backend(directory)
    end
    return { ROUTE_AUTH_BACKEND = "127.0.0.1:" .. login, ROUTE_AUTH_UPSTREAM = "127.0.0.1:" .. upstream }, pid
end

-- Starts a gateway with a site: the path of a file, its text, or a function that returns either and may change the
-- given environment. `directory` may already contain keys.
function _M.start(directory, site)
    local environment, pid = _M.backend(directory)
    if type(site) == "function" then
        site = site(environment)
    end
    if not site:find("\n", 1, true) then
        environment.SITE = site
    else
        environment.SITE = directory .. "/site.conf"
        process.write(environment.SITE, site)
    end
    local running, message = gateway.start {
        directory = directory, env = environment, demo = false,
        keys = { signing_public = "/none", payload_private = "/none" },
    }
    if not running then
        process.stop(pid)
        return nil, message
    end
    running.demo_pid = pid
    return running
end

-- Makes a directory with the secret at the example's path.
function _M.directory()
    local directory = process.temporary_directory()
    process.run("mkdir " .. directory .. "/keys")
    process.write(directory .. "/keys/jwt_secret", _M.SECRET)
    return directory
end

-- Signs claims with PyJWT and a secret. PyJWT shares no code with the library.
function _M.token(directory, claims, secret, alg)
    local path = directory .. "/minting_secret"
    process.write(path, secret or _M.SECRET)
    return mint.mint_all({ signing_private = path }, { { claims = claims, alg = alg or "HS256" } })[1]
end

-- Posts JSON to a path.
function _M.post(running, path, body, headers)
    local all = { { "Content-Type", "application/json" } }
    for _, header in ipairs(headers or {}) do
        all[#all + 1] = header
    end
    return http.request(running.port, { method = "POST", path = path, body = body, headers = all })
end

return _M
