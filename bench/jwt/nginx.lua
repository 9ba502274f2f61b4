-- Measures verify and sign from Lua, inside nginx: route_native.jwt, route_native.resty_jwt, and lua-resty-jwt itself
-- if lua_package_path has it. Prints JSON, in microseconds a call. An algorithm that lua-resty-jwt lacks is null.

local directory, duration = ...

local cjson = require "cjson"
local ffi = require "ffi"

local jwt = require "route_native.jwt"
local library = require "route_native.core.ffi"
local resty = require "route_native.resty_jwt"
local has_peer, peer = pcall(require, "resty.jwt")

local clock = os.clock

local CLAIMS = { sub = "ada", aud = "api", iss = "https://id.example", scope = "read write", name = "Ada Lovelace",
    exp = ngx.time() + 3600 }

local function read(name)
    local file = assert(io.open(directory .. "/" .. name))
    local text = file:read("*a")
    file:close()
    return text
end

-- Returns the cost of a call in microseconds of processor time, which excludes other processes: the best of five runs.
local function cost(call, ...)
    call(...)
    local best = math.huge
    for _ = 1, 5 do
        local start, calls = clock(), 0
        repeat
            for _ = 1, 10 do call(...) end
            calls = calls + 10
        until clock() - start > duration / 5
        best = math.min(best, (clock() - start) / calls)
    end
    return best * 1e6
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

local function cost_of_peer(make, ...)
    local call = has_peer and make(peer)
    return call and pcall(call, ...) and cost(call, ...) or cjson.null
end

local function measure(alg, private, public)
    local signing, verifying
    if alg:sub(1, 2) == "HS" then
        signing, verifying = jwt.secret(private), jwt.secret(private)
    else
        signing, verifying = jwt.key(private), jwt.key(public)
    end
    local policy, options = jwt.policy { audience = "api" }, { algorithm = alg }
    local token = jwt.sign(CLAIMS, signing, options)
    return {
        verify = {
            jwt = cost(function() assert(jwt.verify(token, verifying, policy)) end),
            resty_jwt = cost(verify_with(resty), public, token),
            lua_resty_jwt = cost_of_peer(verify_with, public, token),
        },
        sign = {
            jwt = cost(function() assert(jwt.sign(CLAIMS, signing, options)) end),
            resty_jwt = cost(sign_with(resty), private, alg),
            lua_resty_jwt = cost_of_peer(sign_with, private, alg),
        },
    }
end

local secret = ("s"):rep(64)
local algorithms = {}
for _, alg in ipairs { "HS256", "HS384", "HS512" } do
    algorithms[alg] = measure(alg, secret, secret)
end
for kind, names in pairs { RSA = { "RS256", "RS384", "RS512", "PS256", "PS384", "PS512" }, ["P-256"] = { "ES256" },
    ["P-384"] = { "ES384" }, ["P-521"] = { "ES512" }, secp256k1 = { "ES256K" }, ED25519 = { "EdDSA" } } do
    for _, alg in ipairs(names) do
        algorithms[alg] = measure(alg, read(kind .. ".pem"), read(kind .. ".pub"))
    end
end

-- Returns the costs of a request that auth.check() passes: with a Bearer token, and with one that is bound to a key,
-- whose proof is checked too. Both tokens are HS256, so that the difference is the proof by ES256. The requests are
-- subrequests of this one, so that they share one proof.
local function hits()
    local pem = read("P-256.pub"):gsub("%-+[^-]+%-+", ""):gsub("%s", "")
    local point = ngx.decode_base64(pem):sub(-64)
    local function encode(bytes)
        return (ngx.encode_base64(bytes, true):gsub("%+", "-"):gsub("/", "_"))
    end
    local jwk = { kty = "EC", crv = "P-256", x = encode(point:sub(1, 32)), y = encode(point:sub(33)) }
    local dpop = require("route_native.bound.dpop").of("bench", { dpop = { public_origins = "http://localhost" } })
    local function proof(hash)
        return jwt.sign({ htm = "GET", htu = "http://localhost/", iat = ngx.time(), ath = hash },
            jwt.key(read("P-256.pem")), { typ = "dpop+jwt", header = { jwk = jwk }, jti = true })
    end
    local _, thumbprint = dpop:check({ dpop = proof() })
    local bearer = jwt.sign(CLAIMS, jwt.secret(secret), {})
    local claims = { cnf = { jkt = thumbprint } }
    for name, value in pairs(CLAIMS) do
        claims[name] = value
    end
    local bound = jwt.sign(claims, jwt.secret(secret), {})
    local hex = ffi.new("uint8_t[64]")
    library.rn_session_digest(bound, #bound, hex)
    local digest = ffi.string(hex, 64):gsub("%x%x", function(two) return string.char(tonumber(two, 16)) end)
    ngx.req.set_header("DPoP", proof(encode(digest)))
    local function send(path, authorization)
        ngx.req.set_header("Authorization", authorization)
        local status = ngx.location.capture(path).status
        assert(status == 204, path .. " answers " .. status)
    end
    return {
        bearer = cost(send, "/bearer", "Bearer " .. bearer), bound = cost(send, "/bound", "DPoP " .. bound),
    }
end

local err = not has_peer and "cannot be loaded: " .. tostring(peer):match("^[^\n]*")
ngx.print(cjson.encode { peer = has_peer and (peer._VERSION or "of unknown version") or err, algorithms = algorithms,
    hits = hits() })
