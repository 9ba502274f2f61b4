-- Offers route_native.phantom_token under the name of lua-resty-phantom-token, which programs require.
return require "route_native.phantom_token"
