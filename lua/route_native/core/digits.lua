-- Reads and writes JSON without losing digits. Lua's numbers are doubles: 9007199254740993 would become …992, which may
-- be another user's id. A whole number that a double cannot hold becomes the string of its digits, and is not written.

local cjson = require("cjson.safe").new()

-- As deep as the library allows JSON to be.
cjson.decode_max_depth(128)

local byte, find, format, gsub, sub = string.byte, string.find, string.format, string.gsub, string.sub
local concat = table.concat
local getmetatable, pairs, setmetatable = getmetatable, pairs, setmetatable
local tonumber, tostring, type = tonumber, tostring, type

local QUOTE, BACKSLASH = byte('"', 1), byte("\\", 1)
local SIXTEEN_DIGITS = ("%d"):rep(16)

local _M = {
    -- Beyond it, a double no longer holds each whole number.
    MAX_EXACT = 2 ^ 53 - 1,
    -- Why encode() writes nothing.
    TOO_LONG = "a number has too many digits",
}

-- Returns whether a double holds the number of a JSON text.
local function is_exact(literal)
    local number = tonumber(literal)
    return not number or (number >= -_M.MAX_EXACT and number <= _M.MAX_EXACT) or format("%.0f", number) == literal
end

-- Returns the position behind a string of a JSON text that begins at a position.
local function behind_string(json, at)
    repeat
        at = find(json, '["\\]', at + 1)
        if at and byte(json, at) == BACKSLASH then
            at = at + 1
        elseif at then
            return at + 1
        end
    until not at
    return #json + 1
end

-- Finds the next number of a JSON text that a double cannot hold, from a position on. Returns the positions of its
-- first and last byte, or nil.
local function find_inexact(json, from)
    local at = find(json, '["%d-]', from)
    while at do
        if byte(json, at) == QUOTE then
            at = behind_string(json, at)
        else
            local _, stop = find(json, "^[%d.eE+-]+", at)
            if not is_exact(sub(json, at, stop)) then
                return at, stop
            end
            at = stop + 1
        end
        at = find(json, '["%d-]', at)
    end
end

-- Returns the value of a JSON text that the library has checked, or nil.
function _M.decode(json)
    -- Nearly every text has only short numbers.
    if not find(json, SIXTEEN_DIGITS) and not find(json, "%d[eE]") then
        return cjson.decode(json)
    end
    local parts, from = {}, 1
    local start, stop = find_inexact(json, 1)
    while start do
        parts[#parts + 1] = sub(json, from, start - 1) .. '"' .. sub(json, start, stop) .. '"'
        from = stop + 1
        start, stop = find_inexact(json, from)
    end
    return cjson.decode(concat(parts) .. sub(json, from))
end

-- Returns the shortest text of a number that names it and no other.
function _M.text(number)
    if number % 1 == 0 then
        return format("%.0f", number)
    end
    for digits = 14, 16 do
        local text = format("%." .. digits .. "g", number)
        if tonumber(text) == number then
            return text
        end
    end
    return format("%.17g", number)
end

-- Returns whether cjson would round a number: it writes 14 digits.
local function is_long(value)
    return type(value) == "number" and tonumber(format("%.14g", value)) ~= value
end

-- Returns whether a value is or holds a number for which `is_found` returns true.
local function holds(value, is_found)
    if type(value) ~= "table" then
        return is_found(value)
    end
    for name, item in pairs(value) do
        if is_found(name) or holds(item, is_found) then
            return true
        end
    end
    return false
end

local function is_beyond_exact(value)
    return type(value) == "number" and (value > _M.MAX_EXACT or value < -_M.MAX_EXACT)
end

-- Marks long numbers while cjson writes them. It is an address of this process, so that nobody can put it into a claim.
local MARK = tostring({}) .. " "

-- Returns a copy of a value, in which each long number is a string: the mark and its digits.
local function with_marks(value)
    if is_long(value) then
        return MARK .. _M.text(value)
    elseif type(value) ~= "table" then
        return value
    end
    local copy = {}
    for name, item in pairs(value) do
        copy[is_long(name) and _M.text(name) or name] = with_marks(item)
    end
    return setmetatable(copy, getmetatable(value))
end

-- Returns the JSON text of a value that decode() returned, or nil and why there is none.
function _M.encode_decoded(value)
    local json, message = cjson.encode(value)
    if not json or not holds(value, is_long) then
        return json, message
    end
    return (gsub(cjson.encode(with_marks(value)), '"' .. MARK .. '([%d.eE+-]+)"', "%1"))
end

-- Returns the JSON text of a program's value with the digits of its numbers, or nil and why there is none.
function _M.encode(value)
    local json, message = _M.encode_decoded(value)
    if json and holds(value, is_beyond_exact) then
        return nil, _M.TOO_LONG
    end
    return json, message
end

return _M
