-- Verify and sign from Lua, inside nginx: route_native.jwt, its lua-resty-jwt face, and lua-resty-jwt itself where
-- lua_package_path has it. Prints microseconds a call.

local directory = ...

local jwt = require "route_native.jwt"
local resty = require "route_native.resty_jwt"
local has_peer, peer = pcall(require, "resty.jwt")

local SPELL = 0.2
local CLAIMS = { sub = "ada", aud = "api", iss = "https://id.example", scope = "read write", name = "Ada Lovelace",
    exp = ngx.time() + 3600 }

local function read(name)
    local file = assert(io.open(directory .. "/" .. name))
    local text = file:read("*a")
    file:close()
    return text
end

local function cost(call, ...)
    local ok = pcall(call, ...)
    if not ok then
        return "-"
    end
    local best = math.huge
    for _ = 1, 5 do
        ngx.update_time()
        local start, calls = ngx.now(), 0
        repeat
            for _ = 1, 20 do call(...) end
            calls = calls + 20
            ngx.update_time()
        until ngx.now() - start > SPELL / 5
        best = math.min(best, (ngx.now() - start) / calls)
    end
    return ("%.1f"):format(best * 1e6)
end

local function verify_with(module)
    return function(key, token)
        assert(module:verify(key, token).verified)
    end
end

local function sign_with(module)
    return function(key, alg)
        assert(module:sign(key, { header = { typ = "JWT", alg = alg }, payload = CLAIMS }))
    end
end

local function row(alg, private, public)
    local signing, verifying = private, public
    if alg:sub(1, 2) == "HS" then
        signing, verifying = jwt.secret(private), jwt.secret(private)
    else
        signing, verifying = jwt.key(private), jwt.key(public)
    end
    local policy, options = jwt.policy { audience = "api" }, { algorithm = alg }
    local token = jwt.sign(CLAIMS, signing, options)
    ngx.say(("%-8s %9s %9s %9s   %9s %9s %9s"):format(alg,
        cost(function() assert(jwt.verify(token, verifying, policy)) end),
        cost(verify_with(resty), public, token),
        has_peer and cost(verify_with(peer), public, token) or "-",
        cost(function() assert(jwt.sign(CLAIMS, signing, options)) end),
        cost(sign_with(resty), private, alg),
        has_peer and cost(sign_with(peer), private, alg) or "-"))
end

ngx.say(("microseconds a call, in Lua; lua-resty-jwt %s"):format(has_peer and peer._VERSION or "cannot be loaded: " .. tostring(peer):match("^[^\n]*")))
ngx.say("         verify: jwt resty_jwt lua-resty       sign: jwt resty_jwt lua-resty")
local secret = ("s"):rep(64)
for _, alg in ipairs { "HS256", "HS384", "HS512" } do row(alg, secret, secret) end
local RSA = { "RS256", "RS384", "RS512", "PS256", "PS384", "PS512" }
for _, alg in ipairs(RSA) do row(alg, read "RSA.pem", read "RSA.pub") end
for _, item in ipairs { { "ES256", "P-256" }, { "ES384", "P-384" }, { "ES512", "P-521" }, { "ES256K", "secp256k1" },
    { "EdDSA", "ED25519" } } do
    row(item[1], read(item[2] .. ".pem"), read(item[2] .. ".pub"))
end
