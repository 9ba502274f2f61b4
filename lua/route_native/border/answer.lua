-- The border's own answers, beside those that it shares with OpenID Connect.

local page = require "route_native.core.page"
local shared = require "route_native.session.answer"
local subrequest = require "route_native.core.subrequest"

local both = page.both
local ngx = ngx

local _M = setmetatable({}, { __index = shared })

_M.not_found = both(404, "SERVICE_UNKNOWN", "Not found", "No service is mapped to this address.")
_M.bad_request = both(400, "BAD_REQUEST", "Bad request", "The fields username and password are needed once each.")
_M.bad_media_type = both(415, "UNSUPPORTED_MEDIA_TYPE", "Unsupported media type",
    "A login is a form: application/x-www-form-urlencoded, without a Content-Encoding.")
local no_subrequests = both(505, "HTTP_VERSION_NOT_SUPPORTED", "HTTP version not supported",
    "This server cannot do that over HTTP/2; please use HTTP/1.1.")

-- Ends an HTTP/2 request that needs a subrequest where these do not work.
function _M.no_subrequests()
    ngx.log(ngx.ERR, "route_native: border: calls to the account and auth services work over HTTP/2 only with ",
        subrequest.NEEDED, " or newer, and this is ", ngx.config.ngx_lua_version)
    return no_subrequests()
end

return _M
