-- The modules of compat/, under the names of lua-resty-jwt and lua-resty-rsa: the reference's own program,
-- lua-resty-rsa's documented API, and openssl as the other side.

local gateway = require "support.gateway"
local process = require "support.process"
local token = require "support.token"

-- The reference's get.targetmap.lua, from the fragments of its text.
local PROGRAM = [[
local jwt_token = ngx.var.jwt_token

function ngxexitresponse(status, msg)
    ngx.status = status
    ngx.log(ngx.ERR, msg)
    ngx.say(msg)
    ngx.exit(ngx.HTTP_OK)
end

local function no_bearer(value)
    return value and value:gsub("^Bearer ", "")
end

local function readfile(path)
    local file = assert(io.open(path, "rb"))
    local text = file:read("*a")
    file:close()
    return text
end

local function decrypt(msg, private_key)
    local rsa = require "resty.rsa"
    local priv, err = rsa:new({ private_key = private_key })
    local crypto = ngx.decode_base64(msg)
    local decrypted, err = priv:decrypt(crypto)
    return decrypted
end

jwt_token = no_bearer(jwt_token)
if not jwt_token or jwt_token == "" then
    return ngxexitresponse(401, "no token")
end

local target = ngx.shared.targetmap:get(jwt_token)
if not target then
    local jwt = require "resty.jwt"
    local jwt_secret = ngx.shared.rsakeymap:get('jwt_desktop_signing_public_key')
      or readfile(os.getenv("JWT_DESKTOP_SIGNING_PUBLIC_KEY"))

    local jwt_obj = jwt:verify(jwt_secret, jwt_token)
    if not jwt_obj.verified then
        return ngxexitresponse(401, jwt_obj.reason)
    end
    local payload = jwt_obj.payload

    local private_key = ngx.shared.rsakeymap:get('jwt_desktop_payload_private_key')
      or readfile(os.getenv("JWT_DESKTOP_PAYLOAD_PRIVATE_KEY"))

    target = decrypt(payload.hash, private_key)
    if not target then
        return ngxexitresponse(500, "no target")
    end

    -- Cache with TTL
    local expire_value = payload.exp - ngx.time()
    if expire_value > 600 then expire_value = 600 end
    if expire_value > 1 then
        ngx.shared.targetmap:set(jwt_token, target, expire_value)
    end
end

ngx.var.target = target
]]

-- tasks counts what the thread pool did. `a` is the list of the arguments of /eval.
local SITE = [[
lua_shared_dict targetmap 8m;
lua_shared_dict rsakeymap 1m;
lua_shared_dict rsafilenamekeymap 1m;
init_by_lua_block {
    tasks = 0
    local run = ngx.run_worker_thread
    ngx.run_worker_thread = function(...)
        tasks = tasks + 1
        return run(...)
    end
    rsa = require "resty.rsa"
    function read(name)
        local file = assert(io.open(ngx.config.prefix() .. "../" .. name, "rb"))
        local text = file:read("*a")
        file:close()
        return text
    end
}
server {
    include runtime/listen.conf;
    set $endpoint ""; set $route_cache ""; set $route_token ""; set $route_reason "";
    location /filer {
        set $jwt_token $http_authorization;
        set $target '';
        rewrite_by_lua_file get.targetmap.reference.lua;
        proxy_pass http://$target:$file_service_tcp_port;
    }
    location = /eval {
        set_by_lua_block $early {
            return rsa:new({ private_key = read("payload_private.pem") }):decrypt(read("sealed"))
        }
        content_by_lua_block {
            ngx.req.read_body()
            local results = { pcall(assert(loadstring(ngx.req.get_body_data()))) }
            for i = 1, 5 do results[i] = results[i] == nil and ngx.null or results[i] end
            ngx.print(require("cjson").encode(results))
        }
        header_filter_by_lua_block {
            local text = rsa:new({ private_key = read("payload_private.pem") }):decrypt(read("sealed"))
            ngx.header["X-Late"] = text
            ngx.header["X-Early"] = ngx.var.early
            ngx.header.content_length = nil
        }
    }
}
]]

describe("compat/", function()
    local running, keys

    setup(function()
        running = assert(gateway.start {
            env = { ROUTE_LUA_PATH = ("%s/compat/?.lua;%s/lua/?.lua"):format(gateway.ROOT, gateway.ROOT) },
            prepare = function(self)
                local directory = self.directory
                process.run("mkdir -p " .. directory .. "/etc")
                process.write(directory .. "/etc/get.targetmap.reference.lua", PROGRAM)
                process.write(directory .. "/site.conf", SITE)
                self.environment.SITE = directory .. "/site.conf"
                local output, status = process.run(([[set -e; cd %s
                    printf hello > text
                    openssl pkeyutl -encrypt -pubin -inkey payload_public.pem -in text -out sealed
                    openssl pkeyutl -encrypt -pubin -inkey payload_public.pem -pkeyopt rsa_padding_mode:oaep \
                        -in text -out sealed_oaep
                    openssl rsa -in payload_private.pem -traditional -out payload_pkcs1.pem
                    openssl rsa -in payload_private.pem -RSAPublicKey_out -out payload_public_pkcs1.pem
                    openssl rsa -in payload_private.pem -aes128 -passout pass:secret -traditional -out locked.pem
                    openssl dgst -sha256 -sign payload_private.pem -out signature text
                    openssl genrsa -out weak.pem 1024
                    openssl ecparam -genkey -noout -name prime256v1 -out ec.pem]]):format(directory))
                assert(status == 0, output)
            end,
        })
        keys = running.keys
    end)
    teardown(function() running:stop() end)

    local function eval(lua)
        local response = running:request { method = "POST", path = "/eval", body = lua }
        assert.equal(200, response.status, running:error_log())
        local results = require("cjson").decode(response.body)
        assert.equal(true, results[1], tostring(results[2]))
        local function value(i) return results[i] ~= require("cjson").null and results[i] or nil end
        return value(2), value(3), value(4)
    end

    -- Runs openssl in the gateway's directory. Returns its output.
    local function openssl(arguments)
        local output, status = process.run(("cd %s && openssl %s 2>&1"):format(running.directory, arguments))
        assert.equal(0, status, output)
        return output
    end

    it("is on no path by default", function()
        local plain = assert(gateway.start { demo = false, keys = keys })
        local path = process.read(plain.directory .. "/etc/runtime/http.conf")
        plain:stop()
        assert.is_nil(path:find("/compat/?", 1, true))
    end)

    it("runs the reference's program unchanged", function()
        local good, forged = unpack(token.mint_all(keys, {
            { target = "127.0.0.1" }, { target = "127.0.0.1", key = keys.other_private },
        }))
        for _ = 1, 2 do
            assert.equal(200, running:get("/filer/x", good).status, running:error_log())
        end
        assert.equal(401, running:get("/filer/x", forged).status)
        assert.equal(401, running:get("/filer/x").status)
        assert.equal(500, running:get("/filer/x", token.mint(keys, nil, { claims = { exp = os.time() + 60,
            hash = ("A"):rep(342) .. "==" } })).status)
    end)

    it("follows lua-resty-rsa's documented example, in both formats of keys", function()
        for _, pkcs8 in ipairs { "false", "true" } do
            assert.same({ "hello", true, 256 }, { eval(([[
                local public, private, err = rsa:generate_rsa_keys(2048, %s)
                assert(public, err)
                local pub = assert(rsa:new({ public_key = public, key_type = rsa.KEY_TYPE.PKCS8 }))
                local priv = assert(rsa:new({ private_key = private }))
                local signer = assert(rsa:new({ private_key = private, algorithm = "SHA256" }))
                local verifier = assert(rsa:new({ public_key = public, algorithm = "sha256WithRSAEncryption" }))
                local sealed = assert(pub:encrypt("hello"))
                return priv:decrypt(sealed), verifier:verify("hello", signer:sign("hello")), #sealed
            ]]):format(pkcs8)) })
        end
    end)

    it("decrypts, verifies and reads what openssl made, and the reverse", function()
        assert.same({ "hello", "hello", "hello" }, { eval [[
            local function open(file, sealed, padding)
                return assert(assert(rsa:new({ private_key = read(file), padding = padding })):decrypt(read(sealed)))
            end
            return open("payload_private.pem", "sealed"), open("payload_pkcs1.pem", "sealed"),
                open("payload_private.pem", "sealed_oaep", rsa.PADDING.RSA_PKCS1_OAEP_PADDING)
        ]] })
        for _, file in ipairs { "payload_public.pem", "payload_public_pkcs1.pem" } do
            assert.is_true(eval(([[
                return rsa:new({ public_key = read(%q), algorithm = "SHA256" }):verify("hello", read("signature"))
            ]]):format(file)))
        end
        local sealed, signature = eval [[
            local oaep = rsa.PADDING.RSA_PKCS1_OAEP_PADDING
            local pub = rsa:new({ public_key = read("payload_public.pem"), padding = oaep })
            local signer = rsa:new({ private_key = read("payload_private.pem"), algorithm = "SHA512" })
            return ngx.encode_base64(pub:encrypt("there")), ngx.encode_base64(signer:sign("there"))
        ]]
        local mime = require "mime"
        process.write(running.directory .. "/ours", mime.unb64(sealed))
        process.write(running.directory .. "/ours_signed", mime.unb64(signature))
        process.write(running.directory .. "/there", "there")
        local opened = openssl "pkeyutl -decrypt -inkey payload_private.pem -pkeyopt rsa_padding_mode:oaep -in ours"
        local verified = openssl "dgst -sha512 -verify payload_public.pem -signature ours_signed there"
        assert.same({ "there", "Verified OK\n" }, { opened, verified })
    end)

    it("refuses a signature, and says why", function()
        for _, row in ipairs {
            { '"hello", read("signature"):sub(1, -2) .. "x"' }, { '"hellO", read("signature")' }, { '"hello", ""' },
            { '"", read("signature")' }, { '"hello", read("signature") .. "x"' }, { '"hello", ("x"):rep(100000)' },
        } do
            assert.same({ nil, "bad signature" }, { eval(([[
                return rsa:new({ public_key = read("payload_public.pem"), algorithm = "SHA256" }):verify(%s)
            ]]):format(row[1])) })
        end
    end)

    it("has one error for every ciphertext that does not decrypt", function()
        for _, padding in ipairs { "RSA_PKCS1_PADDING", "RSA_PKCS1_OAEP_PADDING" } do
            for _, ciphertext in ipairs { '""', '"x"', '("x"):rep(256)', '("\\0"):rep(256)', '("\\255"):rep(256)',
                'read("sealed"):sub(2)', 'read("sealed") .. "x"', '("x"):rep(100000)',
                padding == "RSA_PKCS1_PADDING" and 'read("sealed_oaep")' or 'read("sealed")' } do
                assert.same({ nil, "the decryption failed" }, { eval(([[
                    return rsa:new({ private_key = read("payload_private.pem"), padding = rsa.PADDING.%s }):decrypt(%s)
                ]]):format(padding, ciphertext)) }, ciphertext)
            end
        end
    end)

    local NO_PUBLIC_KEY = "the key is not an RSA public key of 2048 to 8192 bits in PEM"
    for options, err in pairs {
        ["{}"] = "not found public_key or private_key",
        ['{ private_key = read("locked.pem"), password = "secret" }'] = "the key is encrypted with a passphrase; "
            .. "store it without one",
        ['{ private_key = read("payload_public.pem") }'] = "the key does not hold a private key",
        ['{ private_key = read("weak.pem") }'] = "the key is not an RSA private key of 2048 to 8192 bits",
        ['{ private_key = read("ec.pem") }'] = "the key holds a private key that is not RSA",
        ['{ private_key = "x" }'] = "the key is not PEM",
        ['{ private_key = 7 }'] = "not found public_key or private_key",
        ['{ public_key = read("payload_private.pem") }'] = NO_PUBLIC_KEY,
        ['{ public_key = "" }'] = NO_PUBLIC_KEY,
        ['{ private_key = read("payload_private.pem"), padding = rsa.PADDING.RSA_NO_PADDING }'] =
            "the padding must be RSA_PKCS1_PADDING or RSA_PKCS1_OAEP_PADDING",
        ['{ private_key = read("payload_private.pem"), algorithm = "SHA1" }'] = "Unknown message digest",
        ['{ private_key = read("payload_private.pem"), algorithm = 7 }'] = "Unknown message digest",
    } do
        it("refuses " .. options, function()
            assert.same({ nil, err }, { eval(("return rsa:new(%s)"):format(options)) })
        end)
    end

    it("refuses what a key was not made for", function()
        assert.same({ "not inited for decrypt", "not inited for sign", "data too large for key size" }, { eval [[
            local pub = rsa:new({ public_key = read("payload_public.pem"), algorithm = "SHA256" })
            return select(2, pub:decrypt("x")), select(2, pub:sign("x")), select(2, pub:encrypt(("x"):rep(300)))
        ]] })
        assert.same({ "not inited for encrypt", "not inited for verify", "not inited for sign" }, { eval [[
            local priv = rsa:new({ private_key = read("payload_private.pem") })
            return select(2, priv:encrypt("x")), select(2, priv:verify("x", "y")), select(2, priv:sign("x"))
        ]] })
        for _, bits in ipairs { "1024", "8192", "2048.5", "'2048'", "nil" } do
            assert.same({ nil, nil, "the size of the key must be 2048, 3072 or 4096 bits" },
                { eval("return rsa:generate_rsa_keys(" .. bits .. ")") })
        end
    end)

    it("shows no key in its objects", function()
        assert.is_true(eval [[
            for _ in pairs(rsa:new({ private_key = read("payload_private.pem") })) do return false end
            return true
        ]])
    end)

    it("does the work with private keys in the thread pool, and that with public keys at once", function()
        assert.same({ 3, 3 }, { eval [[
            local before, private = tasks, read("payload_private.pem")
            assert(rsa:new({ private_key = private }):decrypt(read("sealed")))
            assert(rsa:new({ private_key = private, algorithm = "SHA384" }):sign("x"))
            assert(rsa:generate_rsa_keys(2048))
            local done = tasks - before
            local pub = rsa:new({ public_key = read("payload_public.pem"), algorithm = "SHA256" })
            assert(pub:encrypt("x") and pub:verify("hello", read("signature")))
            return done, tasks - before
        ]] })
    end)

    it("decrypts at once where nothing may yield", function()
        local response = running:request { method = "POST", path = "/eval", body = [[
            local before, key = tasks, rsa:new({ private_key = read("payload_private.pem") })
            return (("x"):gsub("x", function() return key:decrypt(read("sealed")) end)), tasks - before
        ]] }
        assert.same({ "hello", "hello" }, { response.headers["x-early"], response.headers["x-late"] })
        local results = require("cjson").decode(response.body)
        assert.same({ true, "hello", 0 }, { results[1], results[2], results[3] })
    end)

    it("decrypts for many requests at once", function()
        assert.equal(40, eval [[
            local sealed, private, threads, done = read("sealed"), read("payload_private.pem"), {}, 0
            for i = 1, 40 do
                threads[i] = ngx.thread.spawn(function()
                    if rsa:new({ private_key = private }):decrypt(sealed) == "hello" then done = done + 1 end
                end)
            end
            for i = 1, 40 do assert(ngx.thread.wait(threads[i])) end
            return done
        ]])
    end)
end)
