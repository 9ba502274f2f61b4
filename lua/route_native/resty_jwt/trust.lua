-- Verifies the certificate that a token carries (x5c) or names (x5u) against the file of trusted certificates.

local keyring = require "route_native.jwt.keyring"
local lrucache = require "resty.lrucache"
local statuses = require "route_native.core.status"

local ngx = ngx

-- The limit of the file, and of the certificate that a program's function returns for an x5u.
local MAX_BYTES = 256 * 1024
local MAX_CERTIFICATES = 8
local MAX_FILES = 64

local files = assert(lrucache.new(MAX_FILES))

local _M = {}

-- Returns the text of the file, read at most once a second, or nil if it cannot be read.
local function trusted_text(path)
    local now = ngx.time()
    local cached = files:get(path)
    if not cached or cached.read ~= now then
        local file = io.open(path, "rb")
        local text = file and file:read(MAX_BYTES)
        if file then
            file:close()
        end
        cached = { read = now, text = text }
        files:set(path, cached)
    end
    return cached.text
end

-- Returns the chain of an x5c header in DER, or nil and a reason.
local function embedded_chain(x5c)
    if type(x5c) ~= "table" or type(x5c[1]) ~= "string" then
        return nil, "Unsupported RS256 key model"
    end
    local chain = {}
    for i, text in ipairs(x5c) do
        local der = type(text) == "string" and i <= MAX_CERTIFICATES and ngx.decode_base64(text)
        if not der then
            return nil, "Malformed x5c header"
        end
        chain[i] = der
    end
    return chain
end

-- Returns the certificate that the program's own function returns for an x5u header, or nil and a reason. Nothing is
-- fetched here, because the sender of an unverified token chose the URL.
local function retrieved_chain(retriever, obj)
    if not retriever then
        return nil, "No function has been provided to retrieve the content pointed at by the 'x5u'."
    end
    local iss = type(obj.payload) == "table" and obj.payload.iss or nil
    local ok, certificate = pcall(retriever, obj.header.x5u, iss, obj.header.kid)
    if not ok then
        return nil, "An error occured while invoking the x5u_content_retriever function."
    elseif type(certificate) ~= "string" then
        return nil, "Unable to extract signing cert from JWT: x5u gave none"
    elseif #certificate > MAX_BYTES then
        return nil, "Unable to extract signing cert from JWT: x5u gave too much"
    end
    return { certificate }
end

-- Returns the key of the token's certificate, or nil and a reason if no trusted certificate has issued it.
function _M.keys_of(self, obj)
    local x5c = obj.header.x5c
    local chain, err
    if type(x5c) == "table" and x5c[1] ~= nil and x5c[1] ~= ngx.null then
        chain, err = embedded_chain(x5c)
    elseif type(obj.header.x5u) == "string" then
        chain, err = retrieved_chain(self.x5u_content_retriever, obj)
    else
        return nil, "Unsupported RS256 key model"
    end
    if not chain then
        return nil, err
    end
    local trusted = trusted_text(self.trusted_certs_file)
    if not trusted then
        ngx.log(ngx.ERR, "route_native.resty_jwt: the trusted certificates cannot be read: ", self.trusted_certs_file)
        return nil, "No trusted certs loaded"
    end
    local keys, message, status = keyring.of_chain(trusted, chain)
    if keys then
        return keys
    elseif status == statuses.TOKEN_MALFORMED then
        return nil, "Unable to extract signing cert from JWT: " .. message
    end
    return nil, "Cert used to sign the JWT isn't trusted: " .. message
end

return _M
