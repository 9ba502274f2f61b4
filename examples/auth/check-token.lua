-- The reference's check, with another `require`. The Authorization header may hold the token with or without `Bearer`.

local jwt = require "route_native.resty_jwt"
local authentication_token = ngx.var.http_authorization
local secret = require "jwt-secret"

if jwt:verify(secret, authentication_token).valid ~= true then
    return ngx.exit(ngx.HTTP_FORBIDDEN)
end
