-- Tokens that bring their certificate (x5c, x5u), and the file of certificates that must vouch for it.

local keyring = require "route_native.jwt.keyring"
local lrucache = require "resty.lrucache"
local reason = require "route_native.core.status"

local ngx = ngx

-- Of the file, and of what a program's function returns for an x5u.
local MOST_BYTES = 256 * 1024
local MOST_CERTIFICATES = 8
local MOST_FILES = 64

local files = assert(lrucache.new(MOST_FILES))

local _M = {}

-- The text of the file, read at most once a second; nil when it cannot be read.
local function trusted_text(path)
    local now = ngx.time()
    local known = files:get(path)
    if not known or known.read ~= now then
        local file = io.open(path, "rb")
        local text = file and file:read(MOST_BYTES)
        if file then
            file:close()
        end
        known = { read = now, text = text }
        files:set(path, known)
    end
    return known.text
end

local function embedded(x5c)
    if type(x5c) ~= "table" or type(x5c[1]) ~= "string" then
        return nil, "Unsupported RS256 key model"
    end
    local chain = {}
    for i, text in ipairs(x5c) do
        local der = type(text) == "string" and i <= MOST_CERTIFICATES and ngx.decode_base64(text)
        if not der then
            return nil, "Malformed x5c header"
        end
        chain[i] = der
    end
    return chain
end

-- The program's own function says what is behind the URL. Nothing is fetched here: the URL is the sender's choice, and
-- the token is not verified yet.
local function retrieved(retriever, obj)
    if not retriever then
        return nil, "No function has been provided to retrieve the content pointed at by the 'x5u'."
    end
    local iss = type(obj.payload) == "table" and obj.payload.iss or nil
    local ok, certificate = pcall(retriever, obj.header.x5u, iss, obj.header.kid)
    if not ok then
        return nil, "An error occured while invoking the x5u_content_retriever function."
    elseif type(certificate) ~= "string" then
        return nil, "Unable to extract signing cert from JWT: x5u gave none"
    elseif #certificate > MOST_BYTES then
        return nil, "Unable to extract signing cert from JWT: x5u gave too much"
    end
    return { certificate }
end

-- The keys of the certificate that a token brings. Returns nil and a reason when there is none that is trusted.
function _M.keys_of(self, obj)
    local x5c = obj.header.x5c
    local chain, why
    if type(x5c) == "table" and x5c[1] ~= nil and x5c[1] ~= ngx.null then
        chain, why = embedded(x5c)
    elseif type(obj.header.x5u) == "string" then
        chain, why = retrieved(self.x5u_content_retriever, obj)
    else
        return nil, "Unsupported RS256 key model"
    end
    if not chain then
        return nil, why
    end
    local trusted = trusted_text(self.trusted_certs_file)
    if not trusted then
        ngx.log(ngx.ERR, "route_native.resty_jwt: the trusted certificates cannot be read: ", self.trusted_certs_file)
        return nil, "No trusted certs loaded"
    end
    local keys, message, status = keyring.of_chain(trusted, chain)
    if keys then
        return keys
    elseif status == reason.TOKEN_MALFORMED then
        return nil, "Unable to extract signing cert from JWT: " .. message
    end
    return nil, "Cert used to sign the JWT isn't trusted: " .. message
end

return _M
