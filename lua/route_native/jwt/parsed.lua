-- A bounded cache of what was parsed from strings. It is made when the first string comes: a program outside nginx that
-- reads its keys from files needs no resty.lrucache.

-- The number of strings whose values are kept.
local MAX_STRINGS = 64

local _M = {}

-- Returns a function of a form and a text, which returns what `parse(form, text)` returned for them at first. A
-- failure, nil and an error, is not kept.
function _M.once(parse)
    local values
    return function(form, text)
        values = values or assert(require("resty.lrucache").new(MAX_STRINGS))
        local id = form .. text
        local value = values:get(id)
        if value then
            return value
        end
        local err
        value, err = parse(form, text)
        if not value then
            return nil, err
        end
        values:set(id, value)
        return value
    end
end

return _M
