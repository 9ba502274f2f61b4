-- Returns the secret, as the reference's module does. `make run EXAMPLE=auth` writes the file.

local file = assert(io.open(ngx.config.prefix() .. "../keys/jwt_secret"))
local secret = file:read("*l")
file:close()
return secret
