-- Configures route_native.auth: the bound tokens that /token issues, and what /api and /either take.

local auth = require "route_native.auth"

local prefix = ngx.config.prefix()
local secret_file = prefix .. "../keys/bound_secret"
local issuer = "bound-example"
-- Where clients reach this server: `make run` writes it. A proof names its URI, and no header may say what that is.
local origin = dofile(prefix .. "bound.lua")

local function check(mode)
    return auth.prepare_check {
        secret_file = secret_file,
        policy = { issuer = issuer, algorithms = "HS256", max_lifetime = 3600 },
        dpop = { mode = mode, public_origins = origin },
        headers = { ["X-Claim-Sub"] = "sub" },
        strip_token = true,
    }
end

return {
    token = auth.prepare_login {
        backend = "/authenticate",
        secret_file = secret_file,
        issuer = issuer,
        lifetime = 3600,
        dpop = { mode = "accepted", public_origins = origin, nonce = true },
    },
    api = check "required",
    either = check "accepted",
}
