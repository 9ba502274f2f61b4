-- Reads configuration tables by rows that describe their fields. Every capability uses it.
--
--     local ROWS = {
--         { "issuer", config.text(), required = true },
--         { "lifetime", config.whole(1, 86400), default = 3600 },
--         { "cookie", config.nested(COOKIE_ROWS) },
--     }
--     local values = config.read("route_native.auth: login()", ROWS, input)
--
-- A row holds the name of a field, its kind and an optional default. `alias` is an older name of the field. `variable`
-- is the environment variable to read when the table lacks the field; an empty variable is absent.
--
-- A bad table raises an error of one sentence that begins with the owner. The sentence is about an unknown field if
-- there is one, else about a missing field, else about a wrong value. It never quotes a value of the table, because
-- that may be a secret.

local concat = table.concat
local find, format = string.find, string.format

local _M = {}

-- Raises an error of one sentence about a configuration.
local function fail(owner, message, ...)
    error(owner .. ": " .. format(message, ...), 0)
end

_M.fail = fail

-- Returns a kind. Its check(value, name, owner) returns the value to keep, or nil when the value is not `what`. Its
-- parse(text), if any, converts the text of an environment variable.
local function kind(what, check)
    return { what = what, check = check }
end

-- Returns the kind of the values for which is_valid(value) is true.
local function plain(what, is_valid)
    return kind(what, function(value)
        if is_valid(value) then
            return value
        end
    end)
end

local function has_control(text)
    return find(text, "[%z\1-\31\127]") ~= nil
end

-- Returns the kind of a string that is not empty and cannot end a header or a line. With a pattern, the string must
-- match it, and `what` describes the pattern.
function _M.text(pattern, what)
    return plain(what or "a string that is not empty and holds no control characters", function(value)
        return type(value) == "string" and value ~= "" and not has_control(value)
            and (not pattern or find(value, pattern))
    end)
end

-- Returns the kind of a string that matches a pattern and may be empty.
function _M.pattern(pattern, what)
    return plain(what, function(value)
        return type(value) == "string" and not has_control(value) and find(value, pattern)
    end)
end

-- Returns the kind of a whole number within bounds. `unit`, such as "seconds", appears in the error.
function _M.whole(min, max, unit)
    local what = format("a whole number%s from %d to %d", unit and " of " .. unit or "", min, max)
    local whole = plain(what, function(value)
        return type(value) == "number" and value >= min and value <= max and value % 1 == 0
    end)
    whole.parse = tonumber
    return whole
end

-- Returns the kind of true and false.
function _M.boolean()
    return plain("true or false", function(value) return type(value) == "boolean" end)
end

-- Returns the kind of a string that is one of several.
function _M.choice(...)
    local allowed, names = {}, {}
    for i, name in ipairs { ... } do
        allowed[name], names[i] = true, format("%q", name)
    end
    local last = table.remove(names)
    local what = #names > 0 and concat(names, ", ") .. " or " .. last or last
    return plain(what, function(value) return allowed[value] end)
end

-- Returns the kind of a value of one of the Lua types, such as "string or table".
function _M.any(types)
    return plain("a " .. types, function(value) return find(types, type(value), 1, true) end)
end

-- Returns the kind of a list that is not empty. A single item becomes a list of one.
function _M.list(item, what)
    item = item or _M.text()
    return kind(what or "a string or a list of strings", function(value)
        if type(value) ~= "table" then
            value = { value }
        end
        local count = 0
        for _ in pairs(value) do
            count = count + 1
        end
        local items = {}
        for i = 1, count do
            items[i] = value[i] ~= nil and item.check(value[i]) or nil
            if items[i] == nil then
                return nil
            end
        end
        return count > 0 and items or nil
    end)
end

-- The kind of a list of web origins (RFC 6454), for client.origins().
_M.ORIGINS = _M.list(_M.text("^https?://[%w.:%[%]-]+$"), "a list of origins such as https://app.example.com")

-- Returns the kind of a list of words. A text is split at its blanks. With `may_be_empty`, a text without words becomes
-- false.
function _M.words(pattern, what, may_be_empty)
    local list = _M.list(_M.text(pattern))
    return kind(what, function(value)
        if may_be_empty and type(value) == "string" and not find(value, "%S") then
            return false
        end
        if type(value) == "string" then
            local words = {}
            for word in value:gmatch("%S+") do
                words[#words + 1] = word
            end
            value = words
        end
        return list.check(value)
    end)
end

-- Returns the kind of a table that has rows of its own. Errors name its fields "outer.inner".
function _M.nested(rows)
    return kind("a table", function(value, name, owner)
        if type(value) == "table" then
            return _M.read(owner, rows, value, name .. ".")
        end
    end)
end

-- Returns the rows of several lists as one list.
function _M.rows(...)
    local all = {}
    for _, rows in ipairs { ... } do
        for _, row in ipairs(rows) do
            all[#all + 1] = row
        end
    end
    return all
end

-- Returns copies of rows that are local: what they say does not change a server's answer (phantom/settings.lua).
function _M.local_rows(rows)
    local copies = {}
    for i, row in ipairs(rows) do
        copies[i] = {}
        for name, value in pairs(row) do
            copies[i][name] = value
        end
        copies[i].is_local = true
    end
    return copies
end

-- Returns the row of each name and alias.
local function index(rows)
    local by_name = {}
    for _, row in ipairs(rows) do
        by_name[row[1]] = row
        if row.alias then
            by_name[row.alias] = row
        end
    end
    return by_name
end

local function refuse_unknown(owner, rows, input, prefix)
    local by_name, unknown = index(rows), nil
    for name in pairs(input) do
        if not by_name[name] then
            -- The order of pairs() varies. Choosing the first name makes the error the same each time.
            local text = tostring(name)
            unknown = unknown and unknown < text and unknown or text
        end
    end
    if unknown then
        fail(owner, 'there is no field "%s%s"', prefix, unknown)
    end
end

-- Returns the value of a row's field under either name.
local function value_of(owner, row, input, prefix)
    local value, old = input[row[1]], row.alias and input[row.alias]
    if value ~= nil and old ~= nil then
        fail(owner, 'the field "%s%s" is given twice, also as "%s"', prefix, row[1], row.alias)
    end
    if value == nil then
        return old
    end
    return value
end

-- Returns the value of a row, from the table or the environment, and the label that names it in an error.
local function value_and_label(owner, row, input, prefix)
    local value, label = value_of(owner, row, input, prefix), format('the field "%s%s"', prefix, row[1])
    if row.variable then
        if value == nil then
            value, label = os.getenv(row.variable), row.variable
        end
        if value == "" then
            return nil, label
        elseif type(value) == "string" and row[2].parse then
            value = row[2].parse(value) or value
        end
    end
    return value, label
end

-- Reads a table. Returns its values, with defaults, by field name, and the label of each field for errors. `prefix` is
-- for nested tables.
function _M.read(owner, rows, input, prefix)
    prefix = prefix or ""
    if type(input) ~= "table" then
        fail(owner, "a table is needed")
    end
    refuse_unknown(owner, rows, input, prefix)
    local values, labels = {}, {}
    for _, row in ipairs(rows) do
        values[row[1]], labels[row[1]] = value_and_label(owner, row, input, prefix)
        if values[row[1]] == nil and row.required then
            fail(owner, "%s is missing", labels[row[1]])
        end
    end
    for _, row in ipairs(rows) do
        local name, value = row[1], values[row[1]]
        if value == nil then
            value = row.default
        end
        if value ~= nil then
            values[name] = row[2].check(value, prefix .. name, owner)
            if values[name] == nil then
                fail(owner, "%s must be %s", labels[name], row[2].what)
            end
        end
    end
    return values, labels
end

return _M
