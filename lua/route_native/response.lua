-- For configurations of 0.1, which name this module. New ones call route_native.hooks.
return require "route_native.core.response"
