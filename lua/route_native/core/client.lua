-- What kind of client sent a request, and from where: a browser that shows pages, or a script that reads JSON.

local _M = {}

-- Whether the client wants a page: a browser's navigation, and not its scripts.
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

-- Whether a header with a URL (Origin, Referer) is of the host that was asked. The scheme may differ: TLS may end
-- before nginx.
local function is_own(url)
    local authority = url:match("^https?://([^/?#]+)")
    return authority ~= nil and authority:lower() == (ngx.var.http_host or ""):lower()
end

-- Whether the request may have been made by another site (login and logout CSRF). Browsers say so in Sec-Fetch-Site,
-- older ones in Origin or Referer; clients that say nothing are no browsers. `same_site` lets sibling hosts pass.
function _M.is_cross_site(same_site)
    local var = ngx.var
    local site = var.http_sec_fetch_site
    if site then
        return not (site == "same-origin" or site == "none" or (same_site and site == "same-site"))
    end
    local url = var.http_origin or var.http_referer
    return url ~= nil and not is_own(url)
end

-- Returns whether the request is a preflight: a browser's question before another request (Fetch §4.8).
function _M.is_preflight()
    local var = ngx.var
    return ngx.req.get_method() == "OPTIONS" and var.http_origin ~= nil
        and var.http_access_control_request_method ~= nil
end

return _M
