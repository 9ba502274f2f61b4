-- The program that the reference documents, rewritten, with the libraries that the reference uses. The benchmarks
-- measure it with its faults: no pinned algorithm, tokens as cache keys, keys parsed for every new token.

local function refuse(status, message)
    ngx.status = status
    ngx.log(ngx.ERR, message)
    ngx.say(message)
    return ngx.exit(ngx.HTTP_OK)
end

local function without_bearer(value)
    return value and (value:gsub("^[Bb]earer%s+", ""))
end

local function read_file(path)
    local file = assert(io.open(path, "rb"))
    local text = file:read("*a")
    file:close()
    return text
end

local function key(name, variable)
    local text = ngx.shared.rsakeymap:get(name)
    if not text then
        text = read_file(os.getenv(variable))
        ngx.shared.rsakeymap:set(name, text)
    end
    return text
end

local function decrypt(hash, private_key)
    local rsa = require "resty.rsa"
    local private = assert(rsa:new { private_key = private_key })
    return private:decrypt(ngx.decode_base64(hash))
end

local token = without_bearer(ngx.var.http_abcauthorization or ngx.var.http_authorization or ngx.var.arg_jwt_token)
if not token then
    return refuse(401, "no token")
end

local target = ngx.shared.targetmap:get(token)
if not target then
    local jwt = require "resty.jwt"
    local public_key = key("jwt_desktop_signing_public_key", "JWT_DESKTOP_SIGNING_PUBLIC_KEY")
    local verified = jwt:verify(public_key, token)
    if not verified.verified then
        return refuse(401, verified.reason)
    end
    local payload = verified.payload
    target = decrypt(payload.hash, key("jwt_desktop_payload_private_key", "JWT_DESKTOP_PAYLOAD_PRIVATE_KEY"))
    if not target then
        return refuse(401, "the hash cannot be decrypted")
    end
    local lifetime = math.min(payload.exp - ngx.time(), 600)
    if lifetime > 1 then
        ngx.shared.targetmap:set(token, target, lifetime)
    end
end
ngx.var.target = target
