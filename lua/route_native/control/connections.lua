-- Ends long requests when the token or session that allowed them ends: at its revocation, at a logout, and at its
-- expiry.
--
-- nginx passes the bytes of such a request on by itself, and has no call to end it. So this module shuts its client's
-- socket down. nginx sees the end of the connection, ends the upstream's, and logs the request, as if the client had
-- left.
--
-- It must never shut another client's socket. A request keeps its entry alive, through ngx.ctx, and no longer. When it
-- begins, the peer of the descriptor must be the request's. Before a shutdown the connection must still serve that
-- request, with the same descriptor and numbers. nginx never frees the memory of a connection, and uses it again:
-- reading it is always safe.
--
--     ngx_http_request_t   signature, connection, …     the first two members
--     ngx_connection_t     data, read, write, fd, …     the first four; data is the request that is being served
--
-- A connection of HTTP/2 carries other requests, which may not end with this one. Requests of HTTP/2 run to their end.

local ffi = require "ffi"
local base = require "resty.core.base"
local library = require "route_native.core.ffi"
local request = require "route_native.core.request"
local revoked = require "route_native.core.revoked"
local statuses = require "route_native.core.status"

local C = ffi.C
local cast = ffi.cast
local tonumber = tonumber
local ngx = ngx
local var = ngx.var

ffi.cdef [[
typedef struct rn_connection {
    void *data;
    void *read;
    void *write;
    int fd;
} rn_connection;

typedef struct rn_request {
    uint32_t signature;
    rn_connection *connection;
} rn_request;

int shutdown(int fd, int how);
int getpeername(int fd, void *address, uint32_t *length);
]]

-- "HTTP", as nginx writes it into each request.
local SIGNATURE = 0x50545448
local BOTH_WAYS = 2
local AF_INET, AF_INET6 = 2, 10
local ENOTCONN = 107
-- The entries that are checked without a pause, and the pause: nginx without OpenResty's patches warns of one of 0
-- seconds.
local BATCH, PAUSE_SECONDS = 500, 0.001

local request_type = ffi.typeof("const rn_request *")
local address, address_length = ffi.new("uint8_t[128]"), ffi.new("uint32_t[1]")
local ANCHOR = "route_native_connection"
local REVOKED = statuses.TOKEN_REVOKED

-- The entries of this worker. The garbage collector removes those of requests that are over.
local entries = setmetatable({}, { __mode = "k" })
local is_disabled = false
-- Called after each connection that is kept.
local on_keep = function() end
-- When the next of them ends by its time, in seconds since the epoch.
local next_end = math.huge

local _M = {}

-- Sets a function to call after each connection that is kept.
function _M.on_keep(callback)
    on_keep = callback
end

-- Notes when a connection ends.
local function note_end(seconds)
    next_end = seconds and math.min(next_end, seconds) or next_end
end

-- Returns the port of a socket's peer, or nil for a unix socket; and whether the peer has reset the connection.
local function peer_port(fd)
    address_length[0] = 128
    if C.getpeername(fd, address, address_length) ~= 0 then
        return nil, ffi.errno() == ENOTCONN
    end
    local family = address[0] + 256 * address[1]
    return (family == AF_INET or family == AF_INET6) and tostring(256 * address[2] + address[3]) or nil
end

-- Returns the connection of a request, or nil and whether its client has reset it. If not, nginx's structures are not
-- as this module expects them.
local function connection_of(r)
    local memory = cast(request_type, r)
    if memory.signature ~= SIGNATURE or memory.connection == nil then
        return nil
    end
    local connection = memory.connection
    local port = tonumber(var.realip_remote_port or var.remote_port)
    if connection.fd < 0 or connection.data ~= cast("void *", r) then
        return nil
    end
    local found, is_reset = peer_port(connection.fd)
    if is_reset then
        return nil, true
    end
    return (not port or tostring(port) == found) and connection or nil
end

-- Keeps the request's connection to end it with what allowed it. `identity` is what that can be revoked by, or a
-- function that returns it. $connection_ends says when: "revocation", or "expiry", which includes revocations; any
-- other value, or no such variable, never. $connection_grace delays the end, in seconds.
function _M.keep(identity)
    local r = base.get_request()
    if is_disabled or not request.has_value(r, "connection_ends") then
        return
    end
    local ends = var.connection_ends
    if ends ~= "revocation" and ends ~= "expiry" or ngx.is_subrequest or ngx.req.http_version() >= 2 then
        return
    end
    local connection, is_reset = connection_of(r)
    if is_reset then
        return
    elseif not connection then
        is_disabled = true
        ngx.log(ngx.ERR, "route_native: this nginx lays out its connections in another way; no connection is ended")
        return
    end
    identity = type(identity) == "function" and identity() or identity
    if type(identity) ~= "string" then
        return
    end
    local grace = request.has_value(r, "connection_grace") and tonumber(var.connection_grace) or 0
    local entry = {
        request = tonumber(cast("uintptr_t", r)), connection = tonumber(cast("uintptr_t", connection)),
        fd = connection.fd, number = var.connection, requests = var.connection_requests, identity = identity,
        grace = grace,
        -- Another check of the same request may have kept it too, for another token.
        before = ngx.ctx[ANCHOR],
    }
    if ends == "expiry" then
        local expires_at = library.rn_identity_expires_at(identity, #identity)
        entry.ends_at = expires_at >= 0 and expires_at + grace or nil
        note_end(entry.ends_at)
    end
    entries[entry] = true
    ngx.ctx[ANCHOR] = entry
    -- A revocation may have come since the token was checked, and its news with it.
    if revoked.check(entry) == REVOKED then
        entry.ends_at = ngx.time() + grace
        note_end(entry.ends_at)
    end
    on_keep()
end

-- Returns the text of a variable of another request that is being served.
local function variable_of(r, name)
    return request.is_set(r, name) and request.found_text() or nil
end

-- Returns whether an entry's connection may still serve its request. If not, the request is over.
local function may_be_current(entry)
    local connection = cast("rn_connection *", cast("uintptr_t", entry.connection))
    return connection.fd == entry.fd and connection.data == cast("void *", cast("uintptr_t", entry.request))
end

-- Returns whether an entry's connection still serves its request. Another request may have the same address, but not
-- the same numbers.
local function is_current(entry)
    local r = cast("void *", cast("uintptr_t", entry.request))
    return may_be_current(entry) and cast(request_type, r).signature == SIGNATURE
        and variable_of(cast("ngx_http_request_t *", r), "connection") == entry.number
        and variable_of(cast("ngx_http_request_t *", r), "connection_requests") == entry.requests
end

-- Ends the connections of entries, with pauses. Returns how many it ended.
local function finish(list)
    local count = 0
    for i, entry in ipairs(list) do
        entries[entry] = nil
        if is_current(entry) and C.shutdown(entry.fd, BOTH_WAYS) == 0 then
            count = count + 1
        end
        if i % BATCH == 0 then
            ngx.sleep(PAUSE_SECONDS)
        end
    end
    if count > 0 then
        ngx.log(ngx.NOTICE, "route_native: ended ", count, " connections whose token or session has ended")
    end
    return count
end

-- Ends the connections whose token or session is revoked. With a grace they end that much later.
function _M.finish_revoked()
    local list, due = {}, {}
    for entry in pairs(entries) do
        list[#list + 1] = entry
    end
    for i, entry in ipairs(list) do
        if revoked.check(entry) == REVOKED then
            if entry.grace == 0 then
                due[#due + 1] = entry
            else
                entry.ends_at = math.min(entry.ends_at or math.huge, ngx.time() + entry.grace)
                note_end(entry.ends_at)
            end
        end
        if i % BATCH == 0 then
            ngx.sleep(PAUSE_SECONDS)
        end
    end
    return finish(due)
end

-- Ends the connections whose time has come.
function _M.finish_expired()
    local now = ngx.time()
    if now < next_end then
        return 0
    end
    local due = {}
    next_end = math.huge
    for entry in pairs(entries) do
        if entry.ends_at and entry.ends_at <= now then
            due[#due + 1] = entry
        else
            note_end(entry.ends_at)
        end
    end
    return finish(due)
end

-- Returns the number of connections that this worker can end. Forgets those that are over.
function _M.count()
    local count = 0
    for entry in pairs(entries) do
        if may_be_current(entry) then
            count = count + 1
        else
            entries[entry] = nil
        end
    end
    return count
end

return _M
