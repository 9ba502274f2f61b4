-- Keeps what a check found in a request, for the checks that follow in the same request.
--
-- nginx runs the phases again after an internal redirect (index, try_files, error_page, ngx.exec). The first check has
-- then emptied places and written headers, and nginx has dropped ngx.ctx. The request itself stays where it is in
-- memory, so its address finds what was kept. nginx uses the address again for another request: the numbers of the
-- connection and of the request in it, which no client chooses, tell the two apart.
--
--     places    what a place held before a check emptied it, by its name: "header:x-token", "cookie:session"
--     written   the value that a check wrote into a header, by name in lower case
--     verdicts  what a configuration decided: each decides once for a request
--     exchanged    the Authorization header that phantom tokens wrote
--     is_scrubbed  whether tokens elsewhere in the URL were overwritten

local ffi = require "ffi"
local request = require "route_native.core.request"

local cast, tonumber = ffi.cast, tonumber
local current = request.current
local setmetatable = setmetatable
local ngx = ngx
local var = ngx.var

local address_type = ffi.typeof("uintptr_t")
local ANCHOR = "route_native"

-- An entry lives as long as its request: nginx keeps the request's first ngx.ctx to the end, and that holds the entry.
local by_address = setmetatable({}, { __mode = "v" })

local _M = {}

-- Returns what the request has kept, or nil. `r` is the request, if the caller has it.
function _M.find(r)
    local kept = by_address[tonumber(cast(address_type, r or current()))]
    if kept and kept.connection == var.connection and kept.number == var.connection_requests then
        return kept
    end
end

-- Returns what the request has kept; an empty table the first time.
function _M.open()
    local kept = _M.find()
    if not kept then
        kept = {
            connection = var.connection, number = var.connection_requests, places = {}, written = {}, verdicts = {},
        }
        by_address[tonumber(cast(address_type, current()))] = kept
        local ctx = ngx.ctx
        -- A program that dumps ngx.ctx shows an empty table and no token. Subrequests may share their parent's ngx.ctx.
        kept.before = ctx[ANCHOR]
        ctx[ANCHOR] = setmetatable({}, kept)
    end
    return kept
end

-- Keeps what a place held, before a check empties or overwrites it.
function _M.place(name, value)
    _M.open().places[name] = value
end

-- Returns the value of a header as the client sent it, and not what an earlier check left. `name` is in lower case,
-- `value` is the header now, `before` what find() returned.
function _M.header(before, name, value)
    if before and (not value or value == before.written[name]) then
        return before.places["header:" .. name]
    end
    return value
end

-- Keeps a header as the client sent it, before a check removes or overwrites it. `name` is in lower case, `value` is
-- the header now. Returns what the request has kept.
function _M.keep_header(name, value)
    local kept = _M.open()
    kept.places["header:" .. name] = _M.header(kept, name, value)
    return kept
end

return _M
