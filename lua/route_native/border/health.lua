-- Checks that the session store works. Answers 200 or 503, as a page or as JSON.

local client = require "route_native.core.client"
local response = require "route_native.core.response"

local TTL = 10
-- A login needs room for the record of a session. A store that has room for a shorter value only is full.
local VALUE = ("x"):rep(512)

local _M = {}

-- The steps of the check, in order. Each returns whether it worked, and the store's error.
local STEPS = {
    { "add", function(store, key) return store:add(key, VALUE, TTL) end },
    { "get", function(store, key)
        local value, err = store:get(key)
        return value == VALUE, err
    end },
    { "set", function(store, key)
        local done, err = store:set(key, "set", TTL)
        return done and store:get(key) == "set", err
    end },
    { "delete", function(store, key)
        local done, err = store:delete(key)
        return done and store:get(key) == nil, err
    end },
}

-- Runs the steps. Returns whether all worked, and a list of { name, "ok" or "failed" }.
local function examine(border)
    local key = ("%shealth:%d:%d:%f"):format(border.prefix, ngx.worker.pid(), ngx.var.connection, ngx.now())
    local healthy, results = true, {}
    for i, step in ipairs(STEPS) do
        local worked, err = step[2](border.store, key)
        if not worked then
            healthy = false
            border:store_failed("health check, " .. step[1], err or "a wrong answer")
        end
        results[i] = { step[1], worked and "ok" or "failed" }
    end
    return healthy, results
end

local function page(status, store, results)
    local rows = {}
    for i, result in ipairs(results) do
        rows[i] = ("<tr><td>%s</td><td>%s</td></tr>"):format(result[1], result[2])
    end
    return ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Health</title></head><body>'
        .. "<h1>%s</h1><p>Session store: %s</p><table>%s</table></body></html>\n")
        :format(status, store, table.concat(rows))
end

local function json(status, store, results)
    local members = {}
    for i, result in ipairs(results) do
        members[i] = ('"%s":"%s"'):format(result[1], result[2])
    end
    return ('{"status":"%s","store":"%s","checks":{%s}}\n'):format(status, store, table.concat(members, ","))
end

-- Runs the check and ends the request.
function _M.health(border)
    local healthy, results = examine(border)
    local status = healthy and "ok" or "failed"
    if not healthy then
        ngx.header["Retry-After"] = 5
    end
    local code = healthy and 200 or 503
    if client.wants_page() then
        return response.finish(code, page(status, border.store.name, results), "text/html; charset=utf-8")
    end
    return response.finish(code, json(status, border.store.name, results))
end

return _M
