-- Takes an answer in HTTP/1.1 apart as it comes. Each byte is looked at once, whatever the size of the pieces: a server
-- that sends one byte at a time must not make each of them as expensive as all before it.

local scan = require "route_native.core.scan"

local concat = table.concat
local find, gmatch, lower, match, sub = string.find, string.gmatch, string.lower, string.match, string.sub
local min, tonumber = math.min, tonumber

-- All heads together: interim ones (1xx) come before the one that counts, as many as the server likes.
local MAX_HEAD_BYTES = 16 * 1024
-- The line that begins a chunk, with its extensions.
local MAX_LINE_BYTES = 1024

local _M = {}

local headers = {}
headers.__index = headers

-- Collects headers, of which several may have one name.
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

-- Returns the headers under their lower-case names; several of one name are joined by commas (RFC 9110 §5.3).
function headers:joined()
    local all = {}
    for name, list in pairs(self.values) do
        all[name] = concat(list, ",")
    end
    return all
end

local reader = {}
reader.__index = reader

-- Adds to the body. Returns "more", or "too large".
local function keep(self, part)
    self.bytes = self.bytes + #part
    self.parts[#self.parts + 1] = part
    return self.bytes > self.max_bytes and "too large" or "more"
end

local function until_end(self, piece, at)
    return keep(self, sub(piece, at))
end

local function of_length(self, piece, at)
    local part = sub(piece, at, at + self.length - self.bytes - 1)
    keep(self, part)
    return self.bytes == self.length and "whole" or "more"
end

-- Reads the line that begins a chunk. Returns its size and where its data begins; nil when the line is not whole yet;
-- or nil, nil and what is wrong.
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

-- The body in chunks (RFC 9112 §7.1).
local function in_chunks(self, piece, at)
    while at <= #piece do
        if self.left > 0 then
            local part = sub(piece, at, at + self.left - 1)
            self.left, at = self.left - #part, at + #part
            self.expected = self.left == 0 and "\r\n" or ""
            if keep(self, part) == "too large" then
                return "too large"
            end
        elseif self.expected ~= "" then
            local count = min(#self.expected, #piece - at + 1)
            if sub(piece, at, at + count - 1) ~= sub(self.expected, 1, count) then
                return "not whole"
            end
            self.expected, at = sub(self.expected, count + 1), at + count
        else
            local size, next_at, wrong = chunk_size(self, piece, at)
            if not size then
                return wrong or "more"
            elseif size == 0 then
                return "whole"
            end
            self.left, at = size, next_at
        end
    end
    return "more"
end

-- Chooses how the body is read. Returns "more", or what the answer is already.
local function begin_body(self)
    local length, coding = self.headers["content-length"], self.headers["transfer-encoding"]
    if self.status == 204 or self.status == 304 then
        return "whole"
    elseif coding then
        -- Both at once, and any other coding, is an answer that two readers could understand in two ways.
        if lower(coding) ~= "chunked" or length then
            return "not whole"
        end
        self.read, self.line, self.left, self.expected = in_chunks, "", 0, ""
    elseif length then
        self.length = find(length, "^%d+$") and #length < 9 and tonumber(length)
        if not self.length then
            return "not whole"
        elseif self.length > self.max_bytes then
            return "too large"
        elseif self.length == 0 then
            return "whole"
        end
        self.read = of_length
    else
        self.read = until_end
    end
    return "more"
end

-- Takes a whole head apart. Returns "interim" for one that another follows.
local function read_head(self, head)
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

-- Reads heads until one counts, and what of its body comes with it.
local function in_head(self, piece, at)
    while true do
        -- The blank line may have begun in what came before.
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
        local state = read_head(self, concat(self.parts))
        self.parts, self.tail, at = {}, "", stop + 1
        if state == "more" and at <= #piece then
            return self.read(self, piece, at)
        elseif state ~= "interim" then
            return state
        end
    end
end

-- A reader of one answer, whose body may have so many bytes.
function _M.reader(max_bytes)
    return setmetatable({
        max_bytes = max_bytes, taken = 0, head_bytes = 0, tail = "", parts = {}, bytes = 0, read = in_head,
    }, reader)
end

-- Takes what has come. `ended`: no more will come. Returns "whole", and has status, headers and body then; "more"; or
-- "too large", "not whole" or "malformed", which is no answer in HTTP.
function reader:feed(piece, ended)
    self.taken = self.taken + #piece
    local state = piece == "" and "more" or self.read(self, piece, 1)
    if state == "more" and ended and self.read == until_end then
        state = "whole"
    end
    if state == "whole" then
        self.body = concat(self.parts)
    elseif state == "more" and self.taken > self.max_bytes + MAX_HEAD_BYTES then
        state = "too large"
    end
    return state
end

return _M
