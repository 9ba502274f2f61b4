-- How a client names and proves itself to an authorization server (RFC 6749 §2.3, RFC 7523 §2.2).

local jwt = require "route_native.jwt"

local concat = table.concat
local ngx = ngx

-- The life of an assertion, in seconds. The server needs it at once.
local ASSERTION_SECONDS = 60
local ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

local _M = {}

-- Returns the Authorization header. Id and secret are form-encoded before they are joined, unless the server does not
-- decode them.
function _M.basic(id, secret, is_plain)
    if is_plain then
        return "Basic " .. ngx.encode_base64(id .. ":" .. secret)
    end
    return "Basic " .. ngx.encode_base64(ngx.escape_uri(id) .. ":" .. ngx.escape_uri(secret))
end

-- Returns a form of { name, value } pairs, in their order. Pairs without a value are left out.
function _M.form(fields)
    local parts = {}
    for _, field in ipairs(fields) do
        if field[2] then
            parts[#parts + 1] = field[1] .. "=" .. ngx.escape_uri(field[2])
        end
    end
    return concat(parts, "&")
end

-- Returns a client: { method, client_id, client_secret, client_key, client_key_id, client_algorithm }. `method` is
-- client_secret_basic, client_secret_post, private_key_jwt or none.
function _M.new(client)
    if client.method == "private_key_jwt" then
        client.options = jwt.sign_options {
            algorithm = client.client_algorithm, kid = client.client_key_id, lifetime = ASSERTION_SECONDS,
            issuer = client.client_id, jti = true,
        }
    end
    return client
end

-- Returns the value of the Authorization header for a request, or nil.
function _M.authorization(client)
    if client.method == "client_secret_basic" then
        return _M.basic(client.client_id, client.client_secret)
    end
end

-- Adds the fields with which a client names and proves itself to the fields of a form. `audience` is the URL asked.
function _M.add(client, fields, audience)
    if client.method == "client_secret_basic" then
        return fields
    end
    fields[#fields + 1] = { "client_id", client.client_id }
    if client.method == "client_secret_post" then
        fields[#fields + 1] = { "client_secret", client.client_secret }
    elseif client.method == "private_key_jwt" then
        local claims = { sub = client.client_id, aud = audience }
        fields[#fields + 1] = { "client_assertion_type", ASSERTION_TYPE }
        fields[#fields + 1] = { "client_assertion", assert(jwt.sign(claims, client.client_key, client.options)) }
    end
    return fields
end

return _M
