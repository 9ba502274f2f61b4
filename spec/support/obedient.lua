-- Starts obedient_service.py: a desktop or service that answers as its caller says.

local cjson = require "cjson"
local gateway = require "support.gateway"
local http = require "support.http"
local mime = require "mime"
local process = require "support.process"

local _M = {}
local obedient = {}
obedient.__index = obedient

function _M.start()
    local self = setmetatable({ directory = process.temporary_directory(), port = process.free_port() }, obedient)
    local log = self.directory .. "/service.log"
    self.pid = process.start(("/usr/bin/python3 %s/spec/support/obedient_service.py %d")
        :format(gateway.ROOT, self.port), log)
    process.wait_until("the service was ready", function()
        return process.read(log):find("ready", 1, true) or not process.alive(self.pid)
    end)
    if not process.alive(self.pid) then
        -- Another process took the port in between.
        process.run("rm -rf " .. process.quoted(self.directory))
        return _M.start()
    end
    return self
end

-- Returns the environment of a gateway with this service as every desktop and every other upstream.
function obedient:environment(more)
    local environment = { PYOS_FQDN = "127.0.0.1", PYOS_SERVICE_PORT = self.port }
    for _, name in ipairs(gateway.SERVICE_PORTS) do
        environment[name] = self.port
    end
    for _, name in ipairs(gateway.UPSTREAMS) do
        environment[name] = "127.0.0.1:" .. self.port
    end
    for name, value in pairs(more or {}) do
        environment[name] = value
    end
    return environment
end

-- Starts a gateway in front of it. options as for support.gateway.
function obedient:gateway(options)
    options = options or {}
    options.demo, options.env = false, self:environment(options.env)
    return gateway.start(options)
end

local function base64url(text)
    return (mime.b64(text):gsub("%+", "-"):gsub("/", "_"):gsub("=", ""))
end

-- Returns the query for an answer { status, headers, body }, each optional.
function _M.answer(answer)
    return "answer=" .. base64url(cjson.encode(answer))
end

-- Returns the query that makes the service send these bytes and end the connection.
function _M.raw(bytes)
    return "raw=" .. base64url(bytes)
end

local function ask(self, path)
    return cjson.decode(http.request(self.port, { path = path }).body)
end

-- Returns the requests whose path begins with a text.
function obedient:requests(prefix)
    return ask(self, "/requests?" .. prefix)
end

-- Returns the record of a path with the answer 101, or nil.
local function record_of(self, path)
    for _, record in ipairs(ask(self, "/switched")) do
        if record.path == path then
            return record
        end
    end
end

-- Waits until the service has answered a path with 101.
function obedient:wait_for_switch(path)
    process.wait_until("the service switched at " .. path, function() return record_of(self, path) end)
end

-- Waits for the connection's end. Returns the bytes that the service received after the 101.
function obedient:switched(path)
    return process.wait_until("the connection of " .. path .. " ended", function()
        local record = record_of(self, path)
        return record and record.ended and record.bytes
    end)
end

function obedient:stop()
    process.stop(self.pid)
    process.run("rm -rf " .. process.quoted(self.directory))
end

return _M
