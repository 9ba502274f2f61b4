-- Tells browsers that show pages from scripts that read JSON, and requests of this site from those of other sites.

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

-- Returns whether the URL of an Origin or Referer header has the host of the request. The scheme may differ, because
-- TLS may end before nginx.
local function is_own(url)
    local authority = url:match("^https?://([^/?#]+)")
    return authority ~= nil and authority:lower() == (ngx.var.forwarded_host or ngx.var.http_host or ""):lower()
end

-- Returns whether another site may have sent the request (login and logout CSRF). Browsers send Sec-Fetch-Site, and
-- older ones Origin or Referer. A client that sends none of them is no browser. `same_site` allows sibling hosts.
function _M.is_cross_site(same_site)
    local var = ngx.var
    local site = var.http_sec_fetch_site
    if site then
        return not (site == "same-origin" or site == "none" or (same_site and site == "same-site"))
    end
    local url = var.http_origin or var.http_referer
    return url ~= nil and not is_own(url)
end

-- Returns whether the request is a CORS preflight (Fetch §4.8). One that error_page has made a GET is none: the answer
-- to a GET needs a token.
function _M.is_preflight()
    local var = ngx.var
    return ngx.req.get_method() == "OPTIONS" and var.http_origin ~= nil
        and var.http_access_control_request_method ~= nil
end

return _M
