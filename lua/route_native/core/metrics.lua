-- Counts for the metrics of a worker. src/metrics/families.rs has their names and labels, and control/metrics.lua
-- brings them to the dictionary of all workers.
--
-- A series is named by its key: the metric's name and the labels' values. The library bounds both. Whoever counts often
-- keeps the number that number() returns.

local ffi = require "ffi"
local library = require "route_native.core.ffi"
local refusals = require "route_native.core.refusals"
local request = require "route_native.core.request"

local concat, gsub, sub = table.concat, string.gsub, string.sub
local count = library.rn_metrics_count
local current, is_set, found_text = request.current, request.is_set, request.found_text
local error, ipairs, tonumber, tostring = error, ipairs, tonumber, tostring

local OK = library.RN_OK
local SEPARATOR, OTHER = "\31", "other"
-- The endpoints of which a worker keeps numbers. A configuration has some 20; one that takes a name from the request
-- must not fill the memory.
local MAX_ENDPOINTS = 64
local MAX_ENDPOINT_BYTES = 64

local cell = ffi.new("uint32_t[1]")

local _M = {
    -- Adds 1 to a counter by its number.
    add = count,
    -- Adds a time in seconds to a histogram by its number.
    observe = library.rn_metrics_observe,
    -- Returns seconds that only grow.
    clock = library.rn_metrics_clock,
}

-- Returns the key of a series. Its parts are texts and numbers.
function _M.key(name, ...)
    local parts = { name, ... }
    for i, part in ipairs(parts) do
        parts[i] = gsub(tostring(part), "%c", "_")
    end
    return concat(parts, SEPARATOR)
end

-- Returns the number of the counter or histogram with a key.
local function number_of(key)
    if library.rn_metrics_cell(key, #key, cell) ~= OK then
        error("route_native: there is no metric " .. gsub(key, SEPARATOR, " "), 3)
    end
    return tonumber(cell[0])
end

-- Returns the number of a counter or histogram by its name and labels, for add() or observe().
function _M.number(...)
    return number_of(_M.key(...))
end

-- The numbers of counters by key.
local numbers = {}

-- Adds 1 to a counter. The values of its labels are few texts without control characters: each key is kept.
local function count_one(...)
    local key = concat({ ... }, SEPARATOR)
    local number = numbers[key]
    if not number then
        number = number_of(key)
        numbers[key] = number
    end
    count(number)
end

_M.count = count_one

-- The endpoints that were seen, and their number.
local endpoints, endpoint_count = {}, 0

-- Returns an endpoint as a label may have it, and keeps it.
local function keep_endpoint(endpoint)
    if endpoint_count >= MAX_ENDPOINTS then
        return OTHER
    end
    endpoint_count = endpoint_count + 1
    local kept = gsub(sub(endpoint, 1, MAX_ENDPOINT_BYTES), "%c", "_")
    endpoints[endpoint] = kept
    return kept
end

-- Returns $endpoint, which conf/ sets for each location.
local function endpoint_of(r)
    if not is_set(r, "endpoint") then
        return ""
    end
    local endpoint = found_text()
    return endpoints[endpoint] or keep_endpoint(endpoint)
end

-- Counters by capability, then endpoint.
local passed = { desktop = {}, auth = {}, phantom = {}, border = {}, oidc = {}, tunnel = {} }

-- Counts a request that a capability lets pass. `r` is the request.
function _M.passed(capability, r)
    local endpoint = endpoint_of(r)
    local number = passed[capability][endpoint]
    if not number then
        number = number_of(_M.key("requests_total", capability, endpoint, "passed", ""))
        passed[capability][endpoint] = number
    end
    count(number)
end

-- Counts a request that a capability refuses with a status, for a reason of the access log, and keeps it for the status
-- page. Note its token first.
function _M.refused(capability, status, reason)
    local endpoint = endpoint_of(current())
    count_one("requests_total", capability, endpoint, status, reason or "")
    refusals.add(capability, endpoint, status, reason or "")
end

-- Counts an answer of an upstream that is none: 502, 503 or 504. `reason` is that of the access log.
function _M.upstream_failed(status, reason)
    count_one("upstream_errors_total", endpoint_of(current()), status, reason or "")
end

-- Functions that tell the state of this worker: each gets tell(value, name, …), which takes the values of labels too.
local collectors = {}

-- Adds such a function.
function _M.collect(collector)
    collectors[#collectors + 1] = collector
end

-- Calls each of these functions. An error of one is logged, and the others still run.
function _M.state(tell)
    for _, collector in ipairs(collectors) do
        local ok, err = pcall(collector, tell)
        if not ok then
            ngx.log(ngx.ERR, "route_native: metrics: ", err)
        end
    end
end

return _M
