-- The certificate of the client: of its TLS connection to nginx, or the one that a trusted proxy forwards (RFC 9440).
--
-- The handshake has shown that the client has the key. Nobody needs to have signed the certificate: the token names it
-- (RFC 8705 §3), so that `ssl_verify_client optional_no_ca` is enough.

local ffi = require "ffi"
local library = require "route_native.core.ffi"

local OK, THUMBPRINT_BYTES = library.RN_OK, library.RN_THUMBPRINT_BYTES
local ngx = ngx

local buffer = ffi.new("uint8_t[?]", THUMBPRINT_BYTES)

local _M = {}

-- Returns the thumbprint of the client's certificate, or nil if it has none.
function _M.thumbprint(headers)
    local form, text = library.RN_CERTIFICATE_PEM, ngx.var.ssl_client_raw_cert
    -- The certificate of a trusted proxy's own connection is not its client's. A configuration without
    -- forwarded_http.conf trusts no proxy.
    if (ngx.var.trusted_proxy or "") ~= "" then
        form, text = library.RN_CERTIFICATE_HEADER, headers["client-cert"]
    end
    if type(text) ~= "string" or text == "" then
        return nil
    end
    if library.rn_certificate_thumbprint(form, text, #text, buffer) == OK then
        return ffi.string(buffer, THUMBPRINT_BYTES)
    end
end

return _M
