-- Public key material as an HMAC secret: an attacker signs HS256 with the text of a key, and no module may accept it.
-- Unusual texts are secrets for every module.

local cjson = require "cjson"
local http = require "support.http"
local process = require "support.process"
local toolkit = require "support.toolkit"

local SENTENCE = "is a public key, a private key or a certificate used as an HMAC secret"

-- Writes each text into a file of keys/public/, and prints it with a token that it signs.
local FORGER = [=[
import base64, hashlib, hmac, html, json, os, shutil, subprocess, sys, time
from cryptography.hazmat.primitives.serialization import load_pem_public_key, Encoding, PublicFormat

keys = sys.argv[1]
def read(name): return open(keys + "/" + name, "rb").read()
def url(data): return base64.urlsafe_b64encode(data).rstrip(b"=")
def number(value, size=None): return url(value.to_bytes(size or (value.bit_length() + 7) // 8, "big")).decode()
def coded(value): return json.dumps(value, separators=(",", ":")).encode()

def jwk_of(kind, key):
    numbers = key.public_numbers() if hasattr(key, "public_numbers") else None
    if kind == "RSA":
        return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e), "kid": "a/b"}
    if kind == "ED25519":
        return {"kty": "OKP", "crv": "Ed25519", "x": url(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()}
    size = (key.key_size + 7) // 8
    return {"kty": "EC", "crv": kind, "x": number(numbers.x, size), "y": number(numbers.y, size)}

def texts(kind):
    pem = read(kind + "_own.pub")
    key = load_pem_public_key(pem)
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    jwk = coded(jwk_of(kind, key))
    certificate = read(kind + ".crt")
    yield "PEM", pem
    yield "certificate", certificate
    yield "JWK", jwk
    yield "JWK with escaped slashes", jwk.replace(b"/", b"\\/")
    yield "JWK, indented", json.dumps(jwk_of(kind, key), indent=4).encode()
    yield "JWK Set", coded({"keys": [jwk_of(kind, key)]})
    yield "list of JWKs", b"[" + jwk + b"]"
    yield "JWK in an object", coded({"jwk": jwk_of(kind, key)})
    yield "JWK behind a BOM", b"\xef\xbb\xbf" + jwk
    yield "JWK in UTF-16", jwk.decode().encode("utf-16")
    yield "JWK in UTF-16BE", jwk.decode().encode("utf-16-be")
    yield "JWK in base64url", url(jwk)
    yield "JWK as a JSON string", coded(jwk.decode())
    yield "PEM in base64", base64.b64encode(pem)
    yield "PEM as a JSON string", coded(pem.decode())
    yield "DER", der
    yield "DER in base64", base64.b64encode(der)
    yield "DER in lines of base64", base64.encodebytes(der)
    yield "DER in hexadecimal", der.hex().encode()
    yield "certificate in lines of base64", b"\n".join(certificate.splitlines()[1:-1])
    if kind != "secp256k1":
        yield "OpenSSH", key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b" ada@example.net"
    yield "JWK in HTML", html.escape(jwk.decode()).encode()
    yield "JWK in HTML of HTML", html.escape(html.escape(jwk.decode())).encode()
    yield "PEM in one line of XML", pem.decode().replace("\n", "&#xA;").encode()
    yield "base64 of DER in numeric entities", base64.encodebytes(der).decode().replace("\n", "&#10;").encode()
    yield "DER in a list of numbers", coded({"type": "Buffer", "data": list(der)})
    for tool in "xxd", "xxd -e", "hexdump", "hexdump -C", "od", "od -x", "od -b", "od -A x -t x1z", "od -t u1":
        if shutil.which(tool.split()[0]):
            yield "DER as shown by " + tool, subprocess.run(tool.split(), input=der, capture_output=True).stdout
    if kind not in ("RSA", "ED25519"):
        yield "point", key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

def token(secret):
    claims = {"sub": "root", "exp": int(time.time()) + 600}
    message = url(coded({"alg": "HS256", "kid": "k"})) + b"." + url(coded(claims))
    return (message + b"." + url(hmac.new(secret, message, hashlib.sha256).digest())).decode()

os.mkdir(keys + "/public")
for kind in "RSA", "P-256", "P-384", "P-521", "secp256k1", "ED25519":
    for at, (name, text) in enumerate(texts(kind)):
        file = "public/%s_%d" % (kind, at)
        with open(keys + "/" + file, "wb") as out: out.write(text)
        print(json.dumps({"name": kind + ": " + name, "file": file, "token": token(text)}))
]=]

-- Certificates of the keys, and the forger's tokens for all texts.
local PREPARE = [[set -e
cd %s/keys
for kind in RSA P-256 P-384 P-521 secp256k1 ED25519; do
  openssl req -x509 -key ${kind}_own.pem -days 2 -subj /CN=spec -out $kind.crt
done
/usr/bin/python3 ../forger.py .]]

-- Returns the answer of each module to a text and to the token that it signs. An accepted claim is reported as such.
local FACES = [[
    local text, token, path = read(a[1]), a[2], ngx.config.prefix() .. "../keys/" .. a[1]
    local function verdict(make)
        local ok, keys = pcall(make)
        if not ok then
            return tostring(keys)
        end
        local verified, claims, why = pcall(jwt.verify, token, keys)
        return verified and claims and "FORGED" or tostring(verified and why or claims)
    end
    local function of_resty(secret)
        local obj = resty:verify(secret, token)
        return (obj.valid or obj.verified) and "FORGED" or obj.reason
    end
    local function of_sign()
        local header = { alg = "HS256" }
        local ok, why = pcall(resty.sign, resty, text, { header = header, payload = {} })
        return ok and "SIGNED" or why.reason
    end
    return {
        ["resty.verify"] = of_resty(text),
        ["resty.verify with a function"] = of_resty(function() return text end),
        ["resty.sign"] = of_sign(),
        ["jwt.secret"] = verdict(function() return jwt.secret(text) end),
        ["jwt.keys of a secret"] = verdict(function() return jwt.keys { jwt.secret(text) } end),
        ["jwt.secret_file"] = verdict(function() return jwt.secret_file(path) end),
        ["an oct JWK"] = verdict(function()
            return jwt.key('{"kty":"oct","k":"' .. resty:jwt_encode(text) .. '"}')
        end),
        -- A string that looks like a key is read as a public key, which does not allow HS256.
        ["? jwt.verify"] = verdict(function() return text end),
        ["? jwt.keys"] = verdict(function() return jwt.keys { text } end),
    }
]]

local INIT = [[
auth = require "route_native.auth"
guards, logins = {}, {}
function guard_of(name)
    if not guards[name] then
        local file = ngx.config.prefix() .. "../keys/" .. name
        guards[name] = auth.prepare_check { secret_file = file }
        logins[name] = auth.prepare_login {
            backend = "/backend", secret_file = file, issuer = "spec", rate_limit = false,
        }
    end
end
]]

local LOCATIONS = [[
    location = /guarded {
        access_by_lua_block { guard_of(ngx.var.arg_file) auth.check(guards[ngx.var.arg_file]) }
        content_by_lua_block { ngx.print("in") }
    }
    location = /login {
        content_by_lua_block { guard_of(ngx.var.arg_file) auth.login(logins[ngx.var.arg_file]) }
    }
    location = /backend {
        internal;
        default_type application/json;
        return 200 '{"sub":"ada"}';
    }
]]

-- Secrets of people and programs, of 32 bytes or more.
local ODD = {
    "correct horse battery staple, and a cart that it draws uphill",
    "ssh-rsa is my password and nobody will ever know it",
    "MIIBIjANBgkqhki is how they all begin, but not this one at all",
    "----BEGIN is not how this ends, it is how it begins, somehow",
    '{"password":"correct horse battery staple","salt":"0123456789abcdef"}',
    '["a list","of words","which I keep as one secret, in JSON"]',
    '{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T"}',
    "kty, crv, kid and other names of members that I know by heart",
    "100%sure that 50%20 is not%2Fan%escape worth%zz mentioning%",
    "0\130\1\34\48\13 begins like DER and goes on like a passphrase",
    "f47ac10b-58cc-4372-a567-0e02b2c3d479",
    "Tom &amp; Jerry &quot;forever&quot; &lt;3 and &#x2764; and &#10084;",
    "00000000: dead beef cafe f00d  my favourite words",
    ("0"):rep(64),
    (" "):rep(40),
}

describe("public key material", function()
    local running, forgeries

    setup(function()
        running = toolkit.start { init = INIT, locations = LOCATIONS }
        process.write(running.directory .. "/forger.py", FORGER)
        local output, status = process.run(PREPARE:format(running.directory))
        assert(status == 0, output)
        forgeries = {}
        for line in output:gmatch("[^\n]+") do
            forgeries[#forgeries + 1] = line:match("^{") and cjson.decode(line) or nil
        end
        assert(#forgeries > 200, output)
    end)
    teardown(function()
        local log = running.gateway:error_log()
        running:stop()
        assert.is_nil(log:find("stack traceback", 1, true))
    end)

    it("is refused as an HMAC secret by every module, in a sentence without it", function()
        for _, forgery in ipairs(forgeries) do
            local verdicts = running:eval(FACES, forgery.file, forgery.token)
            local text = process.read(running.directory .. "/keys/" .. forgery.file)
            local asked = 0
            for face, verdict in pairs(verdicts) do
                local which = forgery.name .. ", " .. face .. ": " .. verdict
                asked = asked + 1
                assert.is_nil(verdict:find(text, 1, true), which)
                assert.is_nil(verdict:find("FORGED", 1, true), which)
                if face:sub(1, 1) ~= "?" then
                    assert.is_truthy(verdict:find(SENTENCE, 1, true), which)
                end
            end
            assert.equal(9, asked)
        end
    end)

    it("gives programs for lua-resty-jwt their reason for a key as a secret", function()
        local obj = running:eval("return resty:verify(read(a[1]), a[2])", forgeries[3].file, forgeries[3].token)
        assert.same({ false, false, "invalid secret for HS256: the key " .. SENTENCE },
            { obj.valid, obj.verified, obj.reason })
        local empty = running:eval("return resty:verify('', a[1]).reason", forgeries[3].token)
        assert.equal("invalid secret for HS256: the key is an empty HMAC secret", empty)
    end)

    it("is refused in the secret file of a check or login", function()
        for _, forgery in ipairs(forgeries) do
            local headers = { { "Authorization", "Bearer " .. forgery.token } }
            local path = "?file=" .. forgery.file
            local response = http.request(running.port, { path = "/guarded" .. path, headers = headers })
            assert.equal(503, response.status, forgery.name)
            response = http.request(running.port, { method = "POST", path = "/login" .. path, body = "{}",
                headers = { { "Content-Type", "application/json" } } })
            assert.equal(503, response.status, forgery.name)
            assert.is_nil(response.body:find("token", 1, true), forgery.name)
        end
        local log = running.gateway:error_log()
        assert.is_truthy(log:find("keys/public/RSA_2 " .. SENTENCE, 1, true), log:sub(-2000))
        assert.is_nil(log:find('"kty"', 1, true))
        assert.is_nil(log:find("MII", 1, true))
    end)

    it("is not assumed for unusual texts, which sign and verify in every module", function()
        local file = running.directory .. "/keys/odd"
        for i, secret in ipairs(ODD) do
            process.write(file .. i, secret)
            local verdicts = running:eval([[
                local text, path = read("odd" .. a[1]), ngx.config.prefix() .. "../keys/odd" .. a[1]
                local token = resty:sign(text, { header = { alg = "HS256" }, payload = { exp = ngx.time() + 60 } })
                local function subject(keys) return jwt.verify(token, keys) ~= nil end
                return {
                    resty:verify(text, token).verified,
                    subject(jwt.secret(text)),
                    subject(jwt.keys { jwt.secret(text) }),
                    subject(jwt.secret_file(path)),
                    subject(jwt.key('{"kty":"oct","k":"' .. resty:jwt_encode(text) .. '"}')),
                }
            ]], i)
            assert.same({ true, true, true, true, true }, verdicts, secret)
        end
    end)
end)
