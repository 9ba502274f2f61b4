-- Certificates for the specs, and requests over TLS.

local gateway = require "support.gateway"
local process = require "support.process"

local _M = {}

-- Makes a certificate for host names and addresses, signed by an authority of its own, in a directory: ca.pem,
-- cert.pem and key.pem.
function _M.certificate(directory, ...)
    local output, status = process.run(("%s/scripts/throw-away-ca.sh %s %s")
        :format(gateway.ROOT, directory, table.concat({ ... }, " ")))
    assert(status == 0, output)
end

-- Returns the environment of a gateway with such a certificate, and its port.
function _M.environment(directory, more)
    local port = process.free_port()
    local environment = {
        ROUTE_TLS_LISTEN = "127.0.0.1:" .. port, ROUTE_TLS_CERTIFICATE = directory .. "/cert.pem",
        ROUTE_TLS_CERTIFICATE_KEY = directory .. "/key.pem",
    }
    for name, value in pairs(more or {}) do
        environment[name] = value
    end
    return environment, port
end

-- Runs curl, which trusts the authority of a directory only. Returns { status, headers (lower-case name to value),
-- body }. Names of the test resolve to 127.0.0.1.
function _M.curl(directory, url, options)
    local host, port = url:match("^%a+://([^/:]+):(%d+)")
    local text = process.run(("curl -sS -i --max-time 60 --cacert %s/ca.pem --resolve %s:%s:127.0.0.1 %s %s")
        :format(directory, host, port, options or "", process.quoted(url)))
    local head, body = text:match("^(.-)\r\n\r\n(.*)$")
    if not head then
        return { headers = {}, body = text }
    end
    local response = { status = tonumber(head:match("^HTTP/[%d.]+ (%d+)")), headers = {}, body = body }
    for name, value in head:gmatch("\n([^:\r\n]+): *([^\r\n]*)") do
        name = name:lower()
        response.headers[name] = response.headers[name] and response.headers[name] .. ", " .. value or value
    end
    return response
end

return _M
