-- Tokens for the specs: minted by PyJWT (mint.py), or built by hand if no library would sign them.

local cjson = require "cjson.safe"
local process = require "support.process"

local _M = {}

local root = debug.getinfo(1, "S").source:match("^@(.*)spec/support/token%.lua$")
local MINT = "/usr/bin/python3 " .. root .. "spec/support/mint.py"

-- Makes keys with openssl: signing, payload, and another one of each, which the gateway does not have.
function _M.keys(directory)
    local keys = { directory = directory }
    local commands = {}
    for _, name in ipairs { "signing", "payload", "other" } do
        local private, public = directory .. "/" .. name .. "_private.pem", directory .. "/" .. name .. "_public.pem"
        keys[name .. "_private"], keys[name .. "_public"] = private, public
        commands[#commands + 1] = "openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out " .. private
            .. " 2>/dev/null || openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out " .. private
        commands[#commands + 1] = "openssl pkey -in " .. private .. " -pubout -out " .. public
    end
    local output, status = process.run("set -e\n" .. table.concat(commands, "\n"))
    assert(status == 0, output)
    return keys
end

-- Mints several tokens in one run. A request is { claims, header, alg, key, target, padding }; keys default to the
-- gateway's own, and claims to a valid `exp`.
function _M.mint_all(keys, requests)
    local lines = {}
    for i, request in ipairs(requests) do
        local copy = {}
        for name, value in pairs(request) do
            copy[name] = value
        end
        copy.claims = copy.claims or { exp = os.time() + 3600 }
        copy.key = copy.key or keys.signing_private
        copy.payload_key = copy.payload_key or keys.payload_public
        lines[i] = cjson.encode(copy)
    end
    local path = os.tmpname()
    process.write(path, table.concat(lines, "\n") .. "\n")
    local output, status = process.run(MINT .. " < " .. path)
    os.remove(path)
    assert(status == 0, output:sub(-1000))
    local tokens = {}
    for token in output:gmatch("[^\n]+") do
        tokens[#tokens + 1] = token
    end
    return tokens
end

-- Mints one token for `target`.
function _M.mint(keys, target, request)
    request = request or {}
    request.target = target
    return _M.mint_all(keys, { request })[1]
end

return _M
