-- The reference's check, with another `require`, and with the scheme that clients usually send taken off.

local jwt = require "route_native.resty_jwt"
local authentication_token = ngx.var.http_authorization
local secret = require "jwt-secret"

if authentication_token then
    authentication_token = authentication_token:gsub("^[Bb][Ee][Aa][Rr][Ee][Rr]%s+", "")
end

if jwt:verify(secret, authentication_token).valid ~= true then
    return ngx.exit(ngx.HTTP_FORBIDDEN)
end
