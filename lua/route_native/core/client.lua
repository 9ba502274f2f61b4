-- Tells browsers that show pages from scripts that read JSON, and requests of this site from those of other sites.

local find = string.find

local _M = {}

-- A configuration without forwarded_http.conf has none of the variables $forwarded_….

-- Returns the host that the client named, in the form of nginx's $host.
function _M.host()
    local name = ngx.var.forwarded_name
    return name and name:lower() or ngx.var.host
end

-- Returns whether the client's connection is encrypted, as far as nginx and its trusted proxies know.
function _M.uses_tls()
    return (ngx.var.forwarded_proto or ngx.var.scheme) == "https"
end

-- Returns the origin that the client named: scheme, host and port. `scheme` overrides the scheme.
function _M.origin(scheme)
    local var = ngx.var
    scheme = scheme or _M.uses_tls() and "https" or "http"
    return scheme .. "://" .. (var.forwarded_host or var.http_host or var.host)
end

-- Returns whether the client wants a page: the request is a browser's navigation and comes from no script.
function _M.wants_page()
    local var = ngx.var
    local mode = var.http_sec_fetch_mode
    if mode then
        return mode == "navigate"
    elseif (var.http_x_requested_with or ""):lower() == "xmlhttprequest" then
        return false
    end
    return (var.http_accept or ""):find("text/html", 1, true) ~= nil
end

-- Returns a host and its port in lower case, without the default port of a scheme.
local function without_default_port(authority, scheme)
    authority = authority:lower()
    return authority:match(scheme == "https" and "^(.*):443$" or "^(.*):80$") or authority
end

-- Returns the scheme of a URL, and its host and port, or nil for a text that is no such URL, such as `null`.
local function origin_of(url)
    local scheme, authority = url:match("^([Hh][Tt][Tt][Pp][Ss]?)://([^/?#]+)")
    if scheme then
        scheme = scheme:lower()
        return scheme, without_default_port(authority, scheme)
    end
end

-- Returns whether the origin of a URL is in a set of origins().
function _M.is_among(url, origins)
    return origins[table.concat({ origin_of(url) }, "://")] == true
end

-- Returns the set of a list of origins, for is_cross_site() and is_among().
function _M.origins(list)
    local set = {}
    for _, origin in ipairs(list or {}) do
        set[table.concat({ origin_of(origin) }, "://")] = true
    end
    return set
end

-- Returns whether the URL of an Origin or Referer header has the host of the request. The scheme may differ, because
-- TLS may end before nginx.
local function is_own(url)
    local scheme, authority = origin_of(url)
    local host = ngx.var.forwarded_host or ngx.var.http_host or ""
    return scheme ~= nil and authority == without_default_port(host, scheme)
end

-- Returns whether an Origin header names the origin of this request: scheme, host and port as the client sees them, as
-- far as nginx and its trusted proxies know.
function _M.is_own_origin(origin)
    local var = ngx.var
    local scheme, authority = origin_of(origin)
    local host = var.forwarded_host or var.http_host or ""
    if not find(host, ":%d+$") and var.forwarded_port then
        host = host .. ":" .. var.forwarded_port
    end
    return scheme == (var.forwarded_proto or var.scheme) and authority == without_default_port(host, scheme)
end

-- Returns whether another site may have sent the request (login and logout CSRF). Browsers send Sec-Fetch-Site, and
-- older ones Origin or Referer. A client that sends none of them is no browser. `same_site` allows sibling hosts.
-- `allowed` is a set of other origins that are allowed.
function _M.is_cross_site(same_site, allowed)
    local var = ngx.var
    local url = var.http_origin or var.http_referer
    if url and allowed and _M.is_among(url, allowed) then
        return false
    end
    local site = var.http_sec_fetch_site
    if site then
        return not (site == "same-origin" or site == "none" or (same_site and site == "same-site"))
    end
    return url ~= nil and not is_own(url)
end

-- Returns whether a browser fetches the page before its user has asked for it: its purpose is `prefetch`, `prerender`
-- or `preview`, in the header that the browser has for it.
local function is_prefetch(var)
    for _, name in ipairs { "http_sec_purpose", "http_purpose", "http_x_purpose", "http_x_moz" } do
        if (var[name] or ""):lower():find("pre", 1, true) then
            return true
        end
    end
    return false
end

-- Returns whether the request is a navigation of the whole page, and not an image, a frame, a script's request or a
-- prefetch. A client without any Sec-Fetch header is older, or no browser.
function _M.is_navigation()
    local var = ngx.var
    local destination = var.http_sec_fetch_dest
    if destination then
        return destination == "document" and not is_prefetch(var)
    end
    return not (var.http_sec_fetch_mode or var.http_sec_fetch_site or var.http_sec_fetch_user or is_prefetch(var))
end

-- Returns whether the request is a CORS preflight (Fetch §4.8). One that error_page has made a GET is none: the answer
-- to a GET needs a token.
function _M.is_preflight()
    local var = ngx.var
    return ngx.req.get_method() == "OPTIONS" and var.http_origin ~= nil
        and var.http_access_control_request_method ~= nil
end

return _M
