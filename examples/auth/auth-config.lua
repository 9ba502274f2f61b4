-- Configures route_native.auth: the tokens that /login signs, and the requirements of /secure.

local auth = require "route_native.auth"

-- One secret a line: the first signs, and each verifies. A changed file is read again within a second.
local secret_file = ngx.config.prefix() .. "../keys/jwt_secret"
local issuer = "auth-example"

return {
    login = auth.prepare_login {
        backend = "/authenticate",
        secret_file = secret_file,
        issuer = issuer,
        lifetime = 3600,
    },
    secure = auth.prepare_check {
        secret_file = secret_file,
        policy = { issuer = issuer, algorithms = "HS256", max_lifetime = 3600 },
        scope = "secure",
        headers = { ["X-Claim-Sub"] = "sub", ["X-Claim-Name"] = "name", ["X-Claim-Scope"] = "scope" },
        strip_token = true,
    },
}
