-- Calls the account and auth services through nginx's own upstreams (conf/border.conf, location /-/border/call).

local trace = require "route_native.core.trace"

local _M = {}

local LOCATION = "/-/border/call"

-- Posts a form. Returns nginx's answer { status, body, header }, or nil and an error if the service failed or did not
-- answer in full. `master_token` becomes the Auth-Token header.
function _M.post(url, fields, master_token)
    local answer = ngx.location.capture(LOCATION, {
        method = ngx.HTTP_POST,
        body = ngx.encode_args(fields),
        vars = trace.share { border_call_url = url, border_call_token = master_token or "" },
    })
    if answer.truncated or answer.status >= 500 then
        return nil, "status " .. answer.status
    end
    return answer
end

return _M
