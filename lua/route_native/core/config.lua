-- Reads the fields of a configuration table, each once and of its type; what nobody asked for is a mistake.

local _M = {}
local fields = {}
fields.__index = fields

-- `owner` begins the sentences, such as "route_native.auth: check()".
function _M.of(given, owner)
    local left = {}
    for name, value in pairs(given) do
        left[name] = value
    end
    return setmetatable({ left = left, owner = owner }, fields)
end

-- A mistake: an error of one sentence.
function fields:fail(sentence)
    error(self.owner .. ": " .. sentence, 0)
end

-- Calls what raises a sentence of route_native.jwt, which is a mistake of this configuration then. Returns its result.
function fields:try(call, ...)
    local ok, result = pcall(call, ...)
    return ok and result or self:fail((tostring(result):gsub("^.*route_native%.jwt: ", "")))
end

-- The value of a field of one of the types, or the default.
function fields:take(name, types, default)
    local value = self.left[name]
    self.left[name] = nil
    if value == nil then
        return default
    end
    for kind in types:gmatch("%a+") do
        if type(value) == kind then
            return value
        end
    end
    return self:fail(('the field "%s" must be a %s'):format(name, types))
end

-- A whole number within bounds.
function fields:number(name, least, most, default)
    local value = self:take(name, "number", default)
    if value % 1 ~= 0 or value < least or value > most then
        self:fail(('the field "%s" must be a whole number from %d to %d'):format(name, least, most))
    end
    return value
end

-- A string that matches a pattern, and has no byte that could end a header or a line.
function fields:text(name, pattern, what, default)
    local value = self:take(name, "string", default)
    if value ~= nil and (not value:match(pattern) or value:find("[%z\1-\31\127]")) then
        self:fail(('the field "%s" must be %s'):format(name, what))
    end
    return value
end

-- One string or a list of them, as a list that is not empty; nil when the field is absent.
function fields:list(name)
    local value = self:take(name, "string or table")
    if type(value) == "string" then
        value = { value }
    end
    if value then
        for _, item in ipairs(value) do
            if type(item) ~= "string" or item == "" then
                self:fail(('the field "%s" must be a string or a list of strings'):format(name))
            end
        end
        if #value == 0 then
            self:fail(('the field "%s" must not be empty'):format(name))
        end
    end
    return value
end

-- To be called last: a field that is left is a typo.
function fields:finish()
    local name = next(self.left)
    if name ~= nil then
        self:fail(('there is no field "%s"'):format(tostring(name)))
    end
end

return _M
