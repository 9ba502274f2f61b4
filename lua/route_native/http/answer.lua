-- Parses an HTTP/1.1 answer piece by piece. Each byte is read once, whatever the size of the pieces: a server that
-- sends one byte at a time must not cause quadratic work.

local scan = require "route_native.core.scan"

local concat = table.concat
local find, gmatch, lower, match, sub = string.find, string.gmatch, string.lower, string.match, string.sub
local min, tonumber = math.min, tonumber

-- The limit of all heads together. A server may send any number of interim (1xx) heads before the final one.
local MAX_HEAD_BYTES = 16 * 1024
-- The limit of the line that begins a chunk, with its extensions.
local MAX_LINE_BYTES = 1024

local _M = {}

local headers = {}
headers.__index = headers

-- Returns an empty collection of headers. Several of them may have one name.
function _M.headers()
    return setmetatable({ values = {} }, headers)
end

function headers:add(name, value)
    name = lower(name)
    local list = self.values[name]
    if list then
        list[#list + 1] = value
    else
        self.values[name] = { value }
    end
end

-- Returns the headers by their lower-case names. Several of one name are joined by commas (RFC 9110 §5.3).
function headers:joined()
    local all = {}
    for name, list in pairs(self.values) do
        all[name] = concat(list, ",")
    end
    return all
end

local reader = {}
reader.__index = reader

-- Appends a part to the body. Returns "more" or "too large".
local function append(self, part)
    self.bytes = self.bytes + #part
    self.parts[#self.parts + 1] = part
    return self.bytes > self.max_bytes and "too large" or "more"
end

-- Reads a body that ends with the connection.
local function read_until_end(self, piece, at)
    return append(self, sub(piece, at))
end

-- Reads a body with a Content-Length.
local function read_length(self, piece, at)
    local part = sub(piece, at, at + self.length - self.bytes - 1)
    append(self, part)
    return self.bytes == self.length and "whole" or "more"
end

-- Reads the line that begins a chunk. Returns the size of the chunk and the position of its data, nil if the line is
-- incomplete, or nil, nil and an error.
local function chunk_size(self, piece, at)
    local stop = find(piece, "\n", at, true)
    local line = self.line .. sub(piece, at, stop)
    if #line > MAX_LINE_BYTES then
        return nil, nil, "not whole"
    elseif not stop then
        self.line = line
        return nil
    end
    self.line = ""
    local digits = match(line, "^(%x+)[^\r\n]*\r\n$")
    if not digits or #digits > 8 then
        return nil, nil, "not whole"
    end
    return tonumber(digits, 16), stop + 1
end

-- Reads a body in chunks (RFC 9112 §7.1).
local function read_chunks(self, piece, at)
    while at <= #piece do
        if self.left > 0 then
            local part = sub(piece, at, at + self.left - 1)
            self.left, at = self.left - #part, at + #part
            self.expected = self.left == 0 and "\r\n" or ""
            if append(self, part) == "too large" then
                return "too large"
            end
        elseif self.expected ~= "" then
            local count = min(#self.expected, #piece - at + 1)
            if sub(piece, at, at + count - 1) ~= sub(self.expected, 1, count) then
                return "not whole"
            end
            self.expected, at = sub(self.expected, count + 1), at + count
        else
            local size, next_at, err = chunk_size(self, piece, at)
            if not size then
                return err or "more"
            elseif size == 0 then
                return "whole"
            end
            self.left, at = size, next_at
        end
    end
    return "more"
end

-- Chooses how the body is read. Returns "more", or the final state if there is nothing to read.
local function begin_body(self)
    local length, coding = self.headers["content-length"], self.headers["transfer-encoding"]
    if self.status == 204 or self.status == 304 then
        return "whole"
    elseif coding then
        -- Parsers disagree about an answer with both headers or with another coding.
        if lower(coding) ~= "chunked" or length then
            return "not whole"
        end
        self.read, self.line, self.left, self.expected = read_chunks, "", 0, ""
    elseif length then
        self.length = find(length, "^%d+$") and #length < 9 and tonumber(length)
        if not self.length then
            return "not whole"
        elseif self.length > self.max_bytes then
            return "too large"
        elseif self.length == 0 then
            return "whole"
        end
        self.read = read_length
    else
        self.read = read_until_end
    end
    return "more"
end

-- Parses a complete head. Returns "interim" if another head follows.
local function parse_head(self, head)
    local status = tonumber(match(head, "^HTTP/1%.[01] (%d%d%d)%f[%D]"))
    if not status then
        return "malformed"
    elseif status < 200 and status ~= 101 then
        return "interim"
    end
    local all = _M.headers()
    for name, value in gmatch(head, "\n([^%s:]+):[ \t]*([^\r\n]*)") do
        all:add(name, scan.trim_end(value))
    end
    self.status, self.headers = status, all:joined()
    return begin_body(self)
end

-- Reads heads up to the final one, and the part of the body that follows it in the piece.
local function read_heads(self, piece, at)
    while true do
        -- The blank line may have begun in the previous piece.
        local window = self.tail == "" and piece or self.tail .. piece
        local _, stop = find(window, "\n\r?\n", at)
        stop = stop and stop - #self.tail
        local part = sub(piece, at, stop)
        self.head_bytes = self.head_bytes + #part
        if self.head_bytes > MAX_HEAD_BYTES then
            return "too large"
        end
        self.parts[#self.parts + 1] = part
        if not stop then
            self.tail = sub(self.tail .. part, -2)
            return "more"
        end
        local state = parse_head(self, concat(self.parts))
        self.parts, self.tail, at = {}, "", stop + 1
        if state == "more" and at <= #piece then
            return self.read(self, piece, at)
        elseif state ~= "interim" then
            return state
        end
    end
end

-- Returns a reader of one answer, whose body may have `max_bytes`.
function _M.reader(max_bytes)
    return setmetatable({
        max_bytes = max_bytes, received_bytes = 0, head_bytes = 0, tail = "", parts = {}, bytes = 0, read = read_heads,
    }, reader)
end

-- Reads a piece. `ended` tells that no other piece follows. Returns "whole" when the reader has status, headers and
-- body, "more" when the answer is incomplete, or an error: "too large", "not whole", or "malformed" if it is no HTTP.
function reader:feed(piece, ended)
    self.received_bytes = self.received_bytes + #piece
    local state = piece == "" and "more" or self.read(self, piece, 1)
    if state == "more" and ended and self.read == read_until_end then
        state = "whole"
    end
    if state == "whole" then
        self.body = concat(self.parts)
    elseif state == "more" and self.received_bytes > self.max_bytes + MAX_HEAD_BYTES then
        state = "too large"
    end
    return state
end

return _M
