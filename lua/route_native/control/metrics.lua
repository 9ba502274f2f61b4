-- Brings the metrics of all workers together, and answers /metrics (conf/admin.conf).
--
--     library of each worker ─► each second ─► dict "metrics" ─► the worker that is asked ─► text
--
-- | key     | value                                                                                    |
-- |---------|------------------------------------------------------------------------------------------|
-- | c KEY   | the sum of a counter. It outlives workers and reloads, so that it never falls            |
-- | k KEY   | when a key was last used, likewise                                                       |
-- | w PID   | the state of a worker as lines, for some seconds: it vanishes with the worker            |
--
-- The dictionary never evicts: what finds no room is logged, and lost.

local ffi = require "ffi"
local config = require "route_native.core.config"
local connections = require "route_native.control.connections"
local library = require "route_native.core.ffi"
local metrics = require "route_native.core.metrics"
local ready = require "route_native.core.ready"
local response = require "route_native.core.response"

local ffi_string = ffi.string
local byte, gmatch, sub = string.byte, string.gmatch, string.sub
local ngx = ngx

local OWNER = "route_native.control: metrics"
local OK, TOO_SMALL = library.RN_OK, library.RN_REASON_BUFFER_TOO_SMALL
local BUFFER_BYTES = library.RN_METRICS_BYTES
-- The seconds between two times that a worker reports, and for how long a report counts.
local PERIOD, REPORT_SECONDS = 1, 5
-- A key that has verified nothing for so long is forgotten.
local KEY_SECONDS = 30 * 86400
-- At most so many keys of the dictionary are read for an answer.
local MAX_KEYS = 10000
-- While old workers end, they look this often whether their last connection has ended.
local END_PERIOD = 0.2
local CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
local LAST_USED = "^key_last_used_timestamp_seconds\31"

local ROWS = {
    { "certificate", config.text(), variable = "ROUTE_TLS_CERTIFICATE" },
}

local buffer, length = ffi.new("uint8_t[?]", BUFFER_BYTES), ffi.new("size_t[1]")
local is_full = false
local version

local _M = {}

-- Forgets the keys and the files of an earlier configuration: the master keeps the library over a reload. Runs before
-- the keys are read.
function _M.forget()
    library.rn_metrics_forget()
end

-- Reads the settings. `release` is the version of the modules.
function _M.setup(release)
    version = release
    local certificate = config.read(OWNER, ROWS, {}).certificate
    if certificate then
        -- nginx says itself if it cannot read the file.
        library.rn_metrics_note_certificate(certificate, #certificate)
    end
end

-- Stores a value, without evicting another. Returns false and logs once if there is no room.
local function store(dict, operation, key, ...)
    local done, err = dict[operation](dict, key, ...)
    if not done and err == "no memory" and dict:flush_expired() > 0 then
        done, err = dict[operation](dict, key, ...)
    end
    if err == "no memory" and not is_full then
        is_full = true
        ngx.log(ngx.ERR, "route_native: lua_shared_dict metrics is full, and some metrics are not counted")
    end
    return done
end

-- Adds to a counter of all workers.
local function add(dict, key, growth)
    if not dict:incr(key, growth) and not store(dict, "safe_add", key, growth) then
        -- Another worker has added the counter in between.
        dict:incr(key, growth)
    end
end

-- Brings what the counters of this worker have grown by to the dictionary.
local function gather_counters(dict)
    repeat
        if library.rn_metrics_take(buffer, BUFFER_BYTES, length) ~= OK then
            return
        end
        local lines = ffi_string(buffer, length[0])
        for growth, key in gmatch(lines, "(%d+) ([^\n]+)\n") do
            add(dict, "c " .. key, tonumber(growth))
        end
    until lines == ""
end

-- Stores when a key was last used, if no worker has used it later.
local function note_key(dict, key, seconds)
    local known = dict:get("k " .. key)
    if not known or known < seconds then
        store(dict, "safe_set", "k " .. key, seconds, KEY_SECONDS)
    end
end

-- Returns the state of this worker as lines, and stores the last use of its keys.
local function gather_state(dict)
    local lines = {}
    metrics.state(function(value, ...)
        lines[#lines + 1] = ("%.17g %s"):format(value, metrics.key(...))
    end)
    if library.rn_metrics_state(buffer, BUFFER_BYTES, length) == OK then
        for value, key in gmatch(ffi_string(buffer, length[0]), "(%d+) ([^\n]+)\n") do
            if key:find(LAST_USED) then
                note_key(dict, key, tonumber(value))
            else
                lines[#lines + 1] = value .. " " .. key
            end
        end
    end
    return table.concat(lines, "\n")
end

-- Brings the metrics of this worker to the dictionary.
local function gather()
    local dict = ngx.shared.metrics
    if dict then
        gather_counters(dict)
        store(dict, "safe_set", "w " .. ngx.worker.pid(), gather_state(dict), REPORT_SECONDS)
    end
end

-- Does the same while a worker that is shutting down still has long connections: it starts no timer any more.
local function gather_to_the_end()
    while connections.count() > 0 do
        gather()
        ngx.sleep(END_PERIOD)
    end
end

-- Gathers each second. Runs in init_worker_by_lua.
function _M.start_worker()
    if not ngx.shared.metrics then
        return
    end
    assert(ngx.timer.every(PERIOD, function(premature)
        if premature or ngx.worker.exiting() then
            return gather_to_the_end()
        end
        return gather()
    end))
end

-- Gathers for the last time, and removes the state of this worker. Runs in exit_worker_by_lua.
function _M.stop_worker()
    local dict = ngx.shared.metrics
    if dict then
        gather_counters(dict)
        dict:delete("w " .. ngx.worker.pid())
    end
end

-- Returns a version of nginx's such as 1.22.1 for 1022001.
local function dotted(number)
    return ("%d.%d.%d"):format(math.floor(number / 1e6), math.floor(number / 1e3) % 1000, number % 1000)
end

metrics.collect(function(tell)
    tell(1, "workers")
    tell(1, "build_info", version or "", dotted(ngx.config.nginx_version), dotted(ngx.config.ngx_lua_version))
end)

-- Adds what any worker can tell: the dictionaries, and whether nginx is ready.
local function add_common(lines)
    for name, dict in pairs(ngx.shared) do
        lines[#lines + 1] = ("%d %s"):format(dict:free_space(), metrics.key("dictionary_free_bytes", name))
        lines[#lines + 1] = ("%d %s"):format(dict:capacity(), metrics.key("dictionary_capacity_bytes", name))
    end
    lines[#lines + 1] = (ready.missing() and "0 " or "1 ") .. "ready"
end

-- Returns the lines of all workers.
local function all_lines(dict)
    local lines = {}
    for _, key in ipairs(dict:get_keys(MAX_KEYS)) do
        local value = dict:get(key)
        if value and byte(key) == byte "w" then
            lines[#lines + 1] = value
        elseif value then
            lines[#lines + 1] = ("%.17g %s"):format(value, sub(key, 3))
        end
    end
    add_common(lines)
    return table.concat(lines, "\n")
end

-- Returns the text of Prometheus, or nil if it cannot be made: without the dictionary.
function _M.text()
    local dict = ngx.shared.metrics
    if not dict then
        return nil
    end
    gather()
    local lines, memory = all_lines(dict), buffer
    local status = library.rn_metrics_write(lines, #lines, memory, BUFFER_BYTES, length)
    if status == TOO_SMALL then
        local capacity = length[0]
        memory = ffi.new("uint8_t[?]", capacity)
        status = library.rn_metrics_write(lines, #lines, memory, capacity, length)
    end
    return status == OK and ffi_string(memory, length[0]) or nil
end

-- Answers /metrics. Runs in the content phase.
function _M.answer()
    local text = _M.text()
    if not text then
        return response.unavailable(PERIOD)
    end
    return response.finish(ngx.HTTP_OK, text, CONTENT_TYPE)
end

return _M
