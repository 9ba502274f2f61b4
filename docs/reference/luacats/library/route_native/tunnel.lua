---@meta route_native.tunnel
-- `make docs` writes this file from the comments in `lua/route_native/tunnel.lua`.

--- Checks registrations of websocket tunnels behind nginx, and viewers if a file asks for it. `conf/tunnel.conf` calls
--- both functions.
---@class route_native.tunnel
local M = {}

--- Reads the keys of registrations, and the check of viewers that `TUNNEL_VIEWERS` names. Call it in `init_by_lua`. A
--- mistake raises an error, which keeps nginx from starting.
function M.setup() end

--- Checks a registration or a viewer. Ends a refused registration with 401, and a refused viewer as `auth.check()`
--- does. Call it in the access phase.
function M.admit() end

return M
