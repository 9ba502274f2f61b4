-- Counts events: for the metrics of all capabilities, in shared memory for the border's older page of metrics, and
-- optionally to StatsD.
--
-- All counters exist from the start, so an increment never evicts another entry of the dictionary.

local metrics = require "route_native.core.metrics"

local ngx = ngx

local PREFIX = "count:"
local FLUSH_SECONDS = 1
-- A datagram of this size is not fragmented on usual networks.
local MAX_DATAGRAM = 1200

-- Logins have a metric of their own, which auth shares.
local LOGINS = {
    ["login.success"] = "success", ["login.failure"] = "failure", ["login.limited"] = "limited",
    ["login.cross_site"] = "cross_site",
}

local _M = {}
local counters = {}
counters.__index = counters

-- Returns counters of these names in a dictionary. `capability` begins the names of the metrics page, `suffix` ends
-- those of the dictionary.
function _M.new(settings, dictionary, names, capability, suffix)
    local host, port
    if settings.statsd then
        host, port = settings.statsd:match("^(.*):(%d+)$")
    end
    local keys = {}
    for _, name in ipairs(names) do
        keys[name] = PREFIX .. name .. (suffix or "")
        dictionary:add(keys[name], 0)
    end
    return setmetatable({
        dictionary = dictionary, names = names, keys = keys, capability = capability,
        host = host, port = tonumber(port), prefix = settings.statsd_prefix,
        pending = {}, is_scheduled = false,
    }, counters)
end

local function send_all(self)
    local udp = ngx.socket.udp()
    udp:settimeout(1000)
    if not udp:setpeername(self.host, self.port) then
        return
    end
    local datagram = ""
    for name, count in pairs(self.pending) do
        local line = ("%s%s:%d|c"):format(self.prefix, name, count)
        if #datagram + 1 + #line > MAX_DATAGRAM then
            udp:send(datagram)
            datagram = ""
        end
        datagram = datagram == "" and line or datagram .. "\n" .. line
    end
    if datagram ~= "" then
        udp:send(datagram)
    end
    udp:close()
end

-- Sends the pending counts. A lost datagram loses its counts, as always with StatsD.
local function flush(_, self)
    self.is_scheduled = false
    send_all(self)
    self.pending = {}
end

-- Adds 1 to a counter.
function counters:add(name)
    self.dictionary:incr(self.keys[name], 1)
    metrics.count(self.capability .. "_events_total", name)
    if LOGINS[name] then
        metrics.count("logins_total", self.capability, LOGINS[name])
    end
    if self.host then
        self.pending[name] = (self.pending[name] or 0) + 1
        if not self.is_scheduled then
            self.is_scheduled = ngx.timer.at(FLUSH_SECONDS, flush, self) or false
        end
    end
end

-- Returns all counters by name.
function counters:all()
    local all = {}
    for _, name in ipairs(self.names) do
        all[name] = self.dictionary:get(self.keys[name]) or 0
    end
    return all
end

-- Returns all counters in the text format of Prometheus.
function counters:text()
    local all, lines = self:all(), {}
    for _, name in ipairs(self.names) do
        local metric = self.capability .. "_" .. name:gsub("%.", "_") .. "_total"
        lines[#lines + 1] = ("# TYPE %s counter\n%s %d\n"):format(metric, metric, all[name])
    end
    return table.concat(lines)
end

return _M
