-- A socket for the client libraries of stores that bounds each answer, in bytes and in time. The libraries read lines
-- and values as long as the server says, and their timeout begins again with each piece.

local concat, find, match, sub = table.concat, string.find, string.match, string.sub
local max = math.max
local ngx = ngx
local now = ngx.now

-- The limit of an answer, in bytes. memcached stores no larger value, and a session is far smaller.
local MAX_BYTES = 1024 * 1024
local PIECE_BYTES = 64 * 1024

local _M = {}
local socket = {}
socket.__index = socket

-- Wraps a new socket of nginx.
function _M.new(inner)
    return setmetatable({ inner = inner, timeout = 1000, rest = "", bytes = 0, deadline = 0, elements = 0 }, socket)
end

-- Lets the next answers hold so many elements of arrays together, with arrays within arrays: none by default.
function socket:allow_elements(count)
    self.elements = count
end

function socket:settimeout(milliseconds)
    self.timeout = milliseconds
    return self.inner:settimeout(milliseconds)
end

function socket:connect(...)
    return self.inner:connect(...)
end

function socket:sslhandshake(...)
    return self.inner:sslhandshake(...)
end

function socket:getreusedtimes()
    return self.inner:getreusedtimes()
end

function socket:close()
    return self.inner:close()
end

-- Keeps the connection, unless the server has sent more than was asked for: that would be taken for the next answer.
function socket:setkeepalive(...)
    if self.rest ~= "" then
        self.inner:close()
        return nil, "the server sent more than an answer"
    end
    return self.inner:setkeepalive(...)
end

-- Sends a request. The bounds of its answer begin here.
function socket:send(data)
    self.inner:settimeout(self.timeout)
    -- The cached time may be as old as the work since the last event.
    ngx.update_time()
    self.bytes, self.deadline = 0, now() + self.timeout / 1000
    return self.inner:send(data)
end

-- Returns the next piece of the answer, or nil and an error.
local function receive_piece(self)
    local left = self.deadline - now()
    if left <= 0 then
        return nil, "timeout"
    end
    self.inner:settimeout(max(left * 1000, 1))
    local piece, err = self.inner:receiveany(PIECE_BYTES)
    if not piece then
        return nil, err
    end
    self.bytes = self.bytes + #piece
    if self.bytes > MAX_BYTES then
        return nil, "the answer is too large"
    end
    return piece
end

-- Returns the first `length` bytes of pieces, and keeps the bytes behind `stop` for the next call.
local function take(self, pieces, length, stop)
    local text = concat(pieces)
    self.rest = sub(text, stop + 1)
    return sub(text, 1, length)
end

-- Returns a number of bytes.
local function receive_bytes(self, size)
    if size > MAX_BYTES then
        return nil, "the answer is too large"
    end
    local pieces, length = { self.rest }, #self.rest
    while length < size do
        local piece, err = receive_piece(self)
        if not piece then
            return nil, err
        end
        pieces[#pieces + 1], length = piece, length + #piece
    end
    return take(self, pieces, size, size)
end

-- Returns whether the client library may read a line. It believes the length of an array, which begins with `*`, and
-- raises an error if that, or the length of a value behind `$`, is no number. An array within an array is an element
-- too, so that both have an end.
local function is_safe(self, line)
    local kind = sub(line, 1, 1)
    if kind == "*" then
        local count = line ~= "*-1" and tonumber(match(line, "^%*(%d+)$")) or line == "*-1" and 0 or math.huge
        self.elements = self.elements - count
        return self.elements >= 0
    end
    return kind ~= "$" or find(line, "^%$%-?%d+$") ~= nil
end

-- Returns a line without its end.
local function receive_line(self)
    local pieces, before = { self.rest }, 0
    local at = find(self.rest, "\n", 1, true)
    while not at do
        before = before + #pieces[#pieces]
        local piece, err = receive_piece(self)
        if not piece then
            return nil, err
        end
        pieces[#pieces + 1] = piece
        at = find(piece, "\n", 1, true)
    end
    local line = take(self, pieces, before + at - 1, before + at)
    line = sub(line, -1) == "\r" and sub(line, 1, -2) or line
    if not is_safe(self, line) then
        return nil, "the answer is of a kind that nobody asked for"
    end
    return line
end

-- Returns a line, or a number of bytes. On failure the connection is closed.
function socket:receive(size)
    local text, err
    -- A client library may pass the digits that it has read.
    size = tonumber(size)
    if size then
        text, err = receive_bytes(self, size)
    else
        text, err = receive_line(self)
    end
    if not text then
        self.inner:close()
        return nil, err, ""
    end
    return text
end

return _M
