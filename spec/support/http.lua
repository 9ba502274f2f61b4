-- A plain HTTP/1.1 client over a socket. The specs control every byte that it sends.

local socket = require "socket"

local _M = {}

local PATIENCE = 60

-- Connects to 127.0.0.1.
function _M.connect(port)
    local connection = assert(socket.connect("127.0.0.1", port))
    connection:settimeout(PATIENCE)
    connection:setoption("tcp-nodelay", true)
    return connection
end

local function read_chunked(connection)
    local parts = {}
    while true do
        local size = tonumber(assert(connection:receive("*l")):match("^%x+"), 16)
        if size > 0 then
            parts[#parts + 1] = assert(connection:receive(size))
        end
        connection:receive("*l")
        if size == 0 then
            return table.concat(parts)
        end
    end
end

-- Reads one response. Returns { status, headers (lower-case name to value), body }, or nil if the peer has closed.
function _M.read_response(connection, method)
    local line = connection:receive("*l")
    if not line then
        return nil
    end
    local response = { status = tonumber(line:match("^HTTP/%d%.%d (%d+)")), headers = {} }
    for header in function() local l = connection:receive("*l") return l ~= "" and l or nil end do
        local name, value = header:match("^([^:]+):%s*(.-)%s*$")
        name = name:lower()
        response.headers[name] = response.headers[name] and response.headers[name] .. ", " .. value or value
    end
    if response.status == 100 then
        return _M.read_response(connection, method)
    end
    local length = tonumber(response.headers["content-length"])
    local bodiless = { [101] = true, [204] = true, [304] = true }
    -- receive(0) would wait for more.
    if length == 0 or method == "HEAD" or bodiless[response.status] then
        response.body = ""
    elseif response.headers["transfer-encoding"] == "chunked" then
        response.body = read_chunked(connection)
    else
        response.body = connection:receive(length or "*a")
    end
    return response
end

-- Sends a request on an open connection. `headers` is a list of { name, value }, so that names can repeat.
function _M.send(connection, options)
    local lines = { ("%s %s HTTP/1.1"):format(options.method or "GET", options.path or "/") }
    local has_host
    for _, header in ipairs(options.headers or {}) do
        lines[#lines + 1] = header[1] .. ": " .. header[2]
        has_host = has_host or header[1]:lower() == "host"
    end
    if not has_host then
        lines[#lines + 1] = "Host: gateway.test"
    end
    if options.body then
        lines[#lines + 1] = "Content-Length: " .. #options.body
    end
    connection:send(table.concat(lines, "\r\n") .. "\r\n\r\n" .. (options.body or ""))
end

-- Sends one request on a new connection.
function _M.request(port, options)
    local connection = _M.connect(port)
    _M.send(connection, options)
    local response = _M.read_response(connection, options.method)
    connection:close()
    return response
end

-- Sends raw bytes. Returns all received bytes until the connection ends.
function _M.everything(port, bytes)
    local connection = _M.connect(port)
    connection:send(bytes)
    local all, _, rest = connection:receive("*a")
    connection:close()
    return all or rest
end

-- Sends raw bytes and reads one response.
function _M.raw(port, bytes)
    local connection = _M.connect(port)
    connection:send(bytes)
    local response = _M.read_response(connection)
    connection:close()
    return response
end

return _M
