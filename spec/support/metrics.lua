-- Reads the metrics of a running nginx, at the unix socket of its admin server.

local process = require "support.process"

local _M = {}

-- Returns the text of /metrics.
function _M.text(running)
    local output, status = process.run(("curl -sS --fail --unix-socket %s/admin.sock http://admin/metrics")
        :format(running.directory))
    assert(status == 0, output)
    return output
end

-- Returns the value of a series, such as `requests_total{capability="desktop",…}` without route_native_, or nil.
function _M.value(text, series)
    for line in text:gmatch("[^\n]+") do
        local name, value = line:match("^route_native_(%S.*) (%S+)$")
        if name == series then
            return tonumber(value)
        end
    end
end

-- Returns the sum of all series of a metric whose labels contain each of the given texts.
function _M.sum(text, metric, ...)
    local sum = 0
    for line in text:gmatch("[^\n]+") do
        local name, labels, value = line:match("^route_native_([%w_]+)(%b{}) (%S+)$")
        local matches = name == metric
        for _, part in ipairs { ... } do
            matches = matches and labels:find(part, 1, true)
        end
        sum = sum + (matches and tonumber(value) or 0)
    end
    return sum
end

-- Waits until the sum of such series is a number, and returns the text that has it.
function _M.wait_for(running, expected, metric, ...)
    local parts = { ... }
    return process.wait_until(("%s %s was %d"):format(metric, table.concat(parts, " "), expected), function()
        local text = _M.text(running)
        return _M.sum(text, metric, unpack(parts)) == expected and text
    end)
end

-- Returns what promtool finds wrong with a text, "" for nothing.
function _M.faults(text)
    local path = os.tmpname()
    process.write(path, text)
    local output, status = process.run("promtool check metrics < " .. path)
    os.remove(path)
    return output .. (status == 0 and "" or "status " .. status)
end

-- Returns the families of a text by name: { type, labels (names joined by commas, in their order, without `le`) }.
function _M.families(text)
    local families = {}
    for name, kind in text:gmatch("# TYPE route_native_(%S+) (%S+)\n") do
        families[name] = { type = kind, labels = "" }
    end
    for line in text:gmatch("[^\n]+") do
        local name, labels = line:match("^route_native_([%w_]+)(%b{}) ")
        local family = name and (families[name] or families[name:gsub("_%l+$", "")])
        if family then
            local names = {}
            for label in (labels:sub(2, -2) .. ","):gmatch('([%w_]+)="[^"\\]*",') do
                names[#names + 1] = label ~= "le" and label or nil
            end
            family.labels = table.concat(names, ", ")
        end
    end
    return families
end

return _M
