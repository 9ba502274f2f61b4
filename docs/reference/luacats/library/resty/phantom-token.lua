---@meta resty.phantom-token
-- `make docs` writes this file from the comments in `lua/route_native/phantom_token.lua`.

return require "route_native.phantom_token"
