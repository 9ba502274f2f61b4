-- Sets cookies, and filters those that a server sets (RFC 6265 §4.1). core/scan.lua reads a client's cookies.

local concat = table.concat

local _M = {}

-- Returns the full name of a cookie. With `is_secure`, its prefix makes browsers refuse the cookie without TLS, and
-- unless it is for a whole domain, from other hosts too.
function _M.full_name(name, is_secure, has_domain)
    local prefix = is_secure and (has_domain and "__Secure-" or "__Host-") or ""
    return prefix .. name
end

-- Adds a Set-Cookie header. `attributes` holds path, domain, same_site, secure and max_age in seconds. Without max_age
-- the cookie ends with the browser. Every cookie is HttpOnly.
function _M.set(name, value, attributes)
    local parts = { name .. "=" .. value, "Path=" .. (attributes.path or "/"), "HttpOnly",
        "SameSite=" .. (attributes.same_site or "Lax") }
    if attributes.secure then
        parts[#parts + 1] = "Secure"
    end
    if attributes.domain then
        parts[#parts + 1] = "Domain=" .. attributes.domain
    end
    if attributes.max_age then
        parts[#parts + 1] = "Max-Age=" .. attributes.max_age
    end
    local set = ngx.header["Set-Cookie"] or {}
    if type(set) ~= "table" then
        set = { set }
    end
    set[#set + 1] = concat(parts, "; ")
    ngx.header["Set-Cookie"] = set
end

-- Removes the Set-Cookie headers of a server's answer for which `passes(header, by)` returns false.
function _M.filter(passes, by)
    local headers = ngx.header["Set-Cookie"]
    if not headers then
        return
    end
    local kept = {}
    for _, header in ipairs(type(headers) == "table" and headers or { headers }) do
        if passes(header, by) then
            kept[#kept + 1] = header
        end
    end
    ngx.header["Set-Cookie"] = #kept > 0 and kept or nil
end

return _M
